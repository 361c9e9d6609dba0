/* Weighted sums of bilinear samples from the maps of several levels, and their gradients.

compiled_sampling.py compiles this for one number of channels and of sampling points:

    CHANNELS  of a head
    POINTS    sampling points of a query in a head, those of all levels together
    LANES     a power of two that divides CHANNELS: floats that are computed with at once

All arrays are dense and float32 where nothing else is said:

    value               (images, pixels, heads, CHANNELS)
    x, y, weight        (images, queries, heads, POINTS), x and y in pixels of the level, 0 at the
                        centre of the first one
    width, height       (POINTS), of the level that a point lies in
    start               (POINTS) int32, the first pixel of that level
    sums                (images, queries, heads, CHANNELS)

Outside of a map lie zeros. A NaN as place lies outside.
*/

#include <math.h>
#include <stdint.h>

/* Queries whose sums are computed for one head before the next one's, so that what they read, one
   head's part of a few lines of pixels, stays in the cache. */
#define QUERIES_PER_BLOCK 512

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define STEPS (CHANNELS / LANES)

/* The four corners around each of a query's sampling points: top left, top right, bottom left,
   bottom right. */
typedef struct {
  int32_t pixel[4][POINTS];  /* the nearest one in the map where the corner is outside */
  float share[4][POINTS];    /* of the corner in the sample; 0 outside */
  float along_x[4][POINTS];  /* derivative of the share by x, and by y */
  float along_y[4][POINTS];
} Corners;

static inline __attribute__((always_inline)) void find_corners(
    const float *x, const float *y, const float *width, const float *height, const int32_t *start,
    int derivatives, Corners *corners) {
  for (int p = 0; p < POINTS; p++) {
    const float w = width[p], h = height[p];
    float at_x = x[p] > -1 ? x[p] : -1, at_y = y[p] > -1 ? y[p] : -1;
    at_x = at_x < w ? at_x : w;
    at_y = at_y < h ? at_y : h;
    const float left = floorf(at_x), top = floorf(at_y);
    const float has_left = left >= 0 && left < w, has_right = left < w - 1;
    const float has_top = top >= 0 && top < h, has_bottom = top < h - 1;
    const float right_share = (at_x - left) * has_right, left_share = (1 - at_x + left) * has_left;
    const float bottom_share = (at_y - top) * has_bottom, top_share = (1 - at_y + top) * has_top;

    const int32_t pitch = (int32_t)w, last_x = pitch - 1, last_y = (int32_t)h - 1;
    const int32_t l = (int32_t)left, t = (int32_t)top;
    const int32_t column[2] = {l < 0 ? 0 : l > last_x ? last_x : l, l < last_x ? l + 1 : last_x};
    const int32_t line[2] = {t < 0 ? 0 : t > last_y ? last_y : t, t < last_y ? t + 1 : last_y};
    corners->pixel[0][p] = start[p] + line[0] * pitch + column[0];
    corners->pixel[1][p] = start[p] + line[0] * pitch + column[1];
    corners->pixel[2][p] = start[p] + line[1] * pitch + column[0];
    corners->pixel[3][p] = start[p] + line[1] * pitch + column[1];
    corners->share[0][p] = top_share * left_share;
    corners->share[1][p] = top_share * right_share;
    corners->share[2][p] = bottom_share * left_share;
    corners->share[3][p] = bottom_share * right_share;
    if (derivatives) {
      /* what was clamped does not move with x */
      const float moves_x = x[p] >= -1 && x[p] <= w, moves_y = y[p] >= -1 && y[p] <= h;
      corners->along_x[0][p] = -top_share * has_left * moves_x;
      corners->along_x[1][p] = top_share * has_right * moves_x;
      corners->along_x[2][p] = -bottom_share * has_left * moves_x;
      corners->along_x[3][p] = bottom_share * has_right * moves_x;
      corners->along_y[0][p] = -left_share * has_top * moves_y;
      corners->along_y[1][p] = -right_share * has_top * moves_y;
      corners->along_y[2][p] = left_share * has_bottom * moves_y;
      corners->along_y[3][p] = right_share * has_bottom * moves_y;
    }
  }
}

/* Computes the sums, the heads of some queries on each thread. */
void sample_forward(
    const float *value, const float *width, const float *height, const int32_t *start,
    const float *x, const float *y, const float *weight, float *sums, int64_t images,
    int64_t pixels, int64_t queries, int64_t heads, int64_t threads) {
  const int64_t pitch = heads * CHANNELS;
  const int64_t all = images * queries;
  const int64_t blocks = (all + QUERIES_PER_BLOCK - 1) / QUERIES_PER_BLOCK;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t part = 0; part < blocks * heads; part++) {
    const int64_t head = part % heads, first = part / heads * QUERIES_PER_BLOCK;
    const int64_t end = first + QUERIES_PER_BLOCK < all ? first + QUERIES_PER_BLOCK : all;
    Corners corners;
    for (int64_t query = first; query < end; query++) {
      const float *map = value + query / queries * pixels * pitch + head * CHANNELS;
      const int64_t at = (query * heads + head) * POINTS;
      find_corners(x + at, y + at, width, height, start, 0, &corners);
      lanes sum[STEPS];
      for (int i = 0; i < STEPS; i++) sum[i] = (lanes){0};
      for (int p = 0; p < POINTS; p++) {
        for (int corner = 0; corner < 4; corner++) {
          const lanes *row = (const lanes *)(map + corners.pixel[corner][p] * pitch);
          const float share = weight[at + p] * corners.share[corner][p];
          for (int i = 0; i < STEPS; i++) sum[i] += row[i] * share;
        }
      }
      lanes *out = (lanes *)(sums + (query * heads + head) * CHANNELS);
      for (int i = 0; i < STEPS; i++) out[i] = sum[i];
    }
  }
}

/* Computes the gradients, those of one head of one image on each thread: it has its own part of
   every array. `value_grad` must be zero before. */
void sample_backward(
    const float *value, const float *width, const float *height, const int32_t *start,
    const float *x, const float *y, const float *weight, const float *sums_grad, float *value_grad,
    float *x_grad, float *y_grad, float *weight_grad, int64_t images, int64_t pixels,
    int64_t queries, int64_t heads, int64_t threads) {
  const int64_t pitch = heads * CHANNELS;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t part = 0; part < images * heads; part++) {
    Corners corners;
    const int64_t image = part / heads, head = part % heads;
    const int64_t offset = image * pixels * pitch + head * CHANNELS;
    for (int64_t query = image * queries; query < (image + 1) * queries; query++) {
      const int64_t at = (query * heads + head) * POINTS;
      find_corners(x + at, y + at, width, height, start, 1, &corners);
      const lanes *grad = (const lanes *)(sums_grad + (query * heads + head) * CHANNELS);
      float product[4][POINTS];  /* of a corner's row and the sum's gradient */
      for (int p = 0; p < POINTS; p++) {
        for (int corner = 0; corner < 4; corner++) {
          const int64_t place = offset + corners.pixel[corner][p] * pitch;
          const lanes *row = (const lanes *)(value + place);
          lanes *row_grad = (lanes *)(value_grad + place);
          const float share = weight[at + p] * corners.share[corner][p];
          lanes products = {0};
          for (int i = 0; i < STEPS; i++) {
            products += row[i] * grad[i];
            row_grad[i] += grad[i] * share;
          }
          float all = 0;
          for (int i = 0; i < LANES; i++) all += products[i];
          product[corner][p] = all;
        }
      }
      for (int p = 0; p < POINTS; p++) {
        float by_weight = 0, by_x = 0, by_y = 0;
        for (int corner = 0; corner < 4; corner++) {
          by_weight += product[corner][p] * corners.share[corner][p];
          by_x += product[corner][p] * corners.along_x[corner][p];
          by_y += product[corner][p] * corners.along_y[corner][p];
        }
        weight_grad[at + p] = by_weight;
        x_grad[at + p] = by_x * weight[at + p];
        y_grad[at + p] = by_y * weight[at + p];
      }
    }
  }
}
