/* Multi-scale deformable attention between its projections, and its gradients.

A query has sampling points in the maps of several levels. What is computed for each head is the sum
of the bilinear samples there, weighted by a softmax over all points of the head.

compiled_sampling.py compiles this for given numbers of

    CHANNELS  of a head
    LEVELS
    POINTS    sampling points of a query in a head, those of all levels together, level by level
    LANES     a power of two that divides CHANNELS: floats that are computed with at once

All arrays are dense and float32 where nothing else is said:

    value        (images, pixels, heads, CHANNELS), the pixels of all levels; less than 2^31 floats
                 an image
    size         (2, LEVELS), their widths and heights
    start        (LEVELS) int32, the first pixel of each
    projected    (images, queries, 3, heads, POINTS), of a sampling point: its distance in x and y
                 from the query's reference, and its weight before the softmax
    reference    (images, queries, LEVELS, coordinates), a point x, y or a box cx, cy, w, h over the
                 level's size. Distances from a point are in pixels of the level, from a box in
                 its half sides divided by the points of a level.
    sums         (images, queries, heads, CHANNELS)

Outside of a map lie zeros. A NaN as place lies outside.
*/

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Queries whose sums are computed for one head before the next one's, so that what they read, one
   head's part of a few lines of pixels, stays in the cache. */
#define QUERIES_PER_BLOCK 512
#define POINTS_PER_LEVEL (POINTS / LEVELS)

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define STEPS (CHANNELS / LANES)

/* What is common to all sampling points of a level, one entry a point. */
typedef struct {
  float width[POINTS], height[POINTS];
  int32_t start[POINTS];
} Levels;

/* Where a query's sampling points lie: x and y in pixels of the level, 0 at the centre of the first
   one, and by how many pixels they move with their distance from the reference. */
typedef struct {
  float x[POINTS], y[POINTS];
  float along_x[POINTS], along_y[POINTS];
} Places;

/* The four corners around each of a query's sampling points: top left, top right, bottom left,
   bottom right. */
typedef struct {
  int32_t place[4][POINTS];  /* of the pixel's first float; the nearest pixel's from outside */
  float share[4][POINTS];    /* of the corner in the sample; 0 outside */
  float along_x[4][POINTS];  /* derivative of the share by x, and by y */
  float along_y[4][POINTS];
} Corners;

static void spread_levels(const float *size, const int32_t *start, Levels *levels) {
  for (int p = 0; p < POINTS; p++) {
    levels->width[p] = size[p / POINTS_PER_LEVEL];
    levels->height[p] = size[LEVELS + p / POINTS_PER_LEVEL];
    levels->start[p] = start[p / POINTS_PER_LEVEL];
  }
}

static inline __attribute__((always_inline)) void find_places(
    const float *x, const float *y, const float *reference, int64_t coordinates,
    const Levels *levels, Places *places) {
  float center_x[POINTS], center_y[POINTS];
  for (int level = 0; level < LEVELS; level++) {
    const float *at = reference + level * coordinates;
    const int box = coordinates == 4;
    for (int p = level * POINTS_PER_LEVEL; p < (level + 1) * POINTS_PER_LEVEL; p++) {
      center_x[p] = at[0];
      center_y[p] = at[1];
      places->along_x[p] = box ? at[2] * levels->width[p] / (2 * POINTS_PER_LEVEL) : 1;
      places->along_y[p] = box ? at[3] * levels->height[p] / (2 * POINTS_PER_LEVEL) : 1;
    }
  }
  for (int p = 0; p < POINTS; p++) {
    places->x[p] = x[p] * places->along_x[p] + (center_x[p] * levels->width[p] - 0.5f);
    places->y[p] = y[p] * places->along_y[p] + (center_y[p] * levels->height[p] - 0.5f);
  }
}

static inline __attribute__((always_inline)) void find_corners(
    const Places *places, const Levels *levels, int32_t pitch, int derivatives, Corners *corners) {
  for (int p = 0; p < POINTS; p++) {
    const float w = levels->width[p], h = levels->height[p], x = places->x[p], y = places->y[p];
    float at_x = x > -1 ? x : -1, at_y = y > -1 ? y : -1;
    at_x = at_x < w ? at_x : w;
    at_y = at_y < h ? at_y : h;
    const float left = floorf(at_x), top = floorf(at_y);
    const float has_left = left >= 0 && left < w, has_right = left < w - 1;
    const float has_top = top >= 0 && top < h, has_bottom = top < h - 1;
    const float right_share = (at_x - left) * has_right, left_share = (1 - at_x + left) * has_left;
    const float bottom_share = (at_y - top) * has_bottom, top_share = (1 - at_y + top) * has_top;

    const int32_t line = (int32_t)w, last_x = line - 1, last_y = (int32_t)h - 1;
    const int32_t l = (int32_t)left, t = (int32_t)top, start = levels->start[p];
    const int32_t column[2] = {l < 0 ? 0 : l > last_x ? last_x : l, l < last_x ? l + 1 : last_x};
    const int32_t row[2] = {t < 0 ? 0 : t > last_y ? last_y : t, t < last_y ? t + 1 : last_y};
    corners->place[0][p] = (start + row[0] * line + column[0]) * pitch;
    corners->place[1][p] = (start + row[0] * line + column[1]) * pitch;
    corners->place[2][p] = (start + row[1] * line + column[0]) * pitch;
    corners->place[3][p] = (start + row[1] * line + column[1]) * pitch;
    corners->share[0][p] = top_share * left_share;
    corners->share[1][p] = top_share * right_share;
    corners->share[2][p] = bottom_share * left_share;
    corners->share[3][p] = bottom_share * right_share;
    if (derivatives) {
      /* what was clamped does not move with x */
      const float moves_x = x >= -1 && x <= w, moves_y = y >= -1 && y <= h;
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

/* exp(x) for x <= 0 to 5e-6 of it, 0 below -87. The library's takes one float at a time. */
static inline __attribute__((always_inline)) float exp_below_zero(float x) {
  const float whole = floorf(x * 1.44269504f + 0.5f); /* exp(x) = 2^whole * exp(rest) */
  const float rest = x - whole * 0.693147181f;
  float power = 1.f / 720; /* Taylor's series; |rest| <= log(2) / 2 */
  power = power * rest + 1.f / 120;
  power = power * rest + 1.f / 24;
  power = power * rest + 1.f / 6;
  power = power * rest + 0.5f;
  power = power * rest + 1;
  power = power * rest + 1;
  const int32_t bits = ((int32_t)(whole > -126 ? whole : -126) + 127) << 23;
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  return x < -87 ? 0 : power * scale; /* a NaN stays one */
}

static inline __attribute__((always_inline)) void softmax(const float *logits, float *weights) {
  float most = logits[0], sum = 0;
  for (int p = 1; p < POINTS; p++) most = logits[p] > most ? logits[p] : most;
  for (int p = 0; p < POINTS; p++) weights[p] = exp_below_zero(logits[p] - most);
  for (int p = 0; p < POINTS; p++) sum += weights[p];
  for (int p = 0; p < POINTS; p++) weights[p] /= sum;
}

/* Computes the sums, the heads of some queries on each thread. */
void sample_forward(
    const float *value, const float *size, const int32_t *start, const float *projected,
    const float *reference, float *sums, int64_t images, int64_t pixels, int64_t queries,
    int64_t heads, int64_t coordinates, int64_t threads) {
  const int64_t pitch = heads * CHANNELS;
  const int64_t all = images * queries;
  const int64_t blocks = (all + QUERIES_PER_BLOCK - 1) / QUERIES_PER_BLOCK;
  Levels levels;
  spread_levels(size, start, &levels);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t part = 0; part < blocks * heads; part++) {
    const int64_t head = part % heads, first = part / heads * QUERIES_PER_BLOCK;
    const int64_t end = first + QUERIES_PER_BLOCK < all ? first + QUERIES_PER_BLOCK : all;
    Places places;
    Corners corners;
    float weights[POINTS];
    for (int64_t query = first; query < end; query++) {
      const float *map = value + query / queries * pixels * pitch + head * CHANNELS;
      const float *x = projected + (query * 3 * heads + head) * POINTS;
      const float *y = x + heads * POINTS, *logits = y + heads * POINTS;
      find_places(
          x, y, reference + query * LEVELS * coordinates, coordinates, &levels, &places);
      find_corners(&places, &levels, pitch, 0, &corners);
      softmax(logits, weights);
      for (int corner = 0; corner < 4; corner++) {
        for (int p = 0; p < POINTS; p++) corners.share[corner][p] *= weights[p];
      }
      lanes sum[2][STEPS];  /* two, because an addition waits for the one before */
      for (int i = 0; i < STEPS; i++) sum[0][i] = sum[1][i] = (lanes){0};
      for (int p = 0; p < POINTS; p++) {
        for (int corner = 0; corner < 4; corner++) {
          const lanes *row = (const lanes *)(map + corners.place[corner][p]);
          const float share = corners.share[corner][p];
          for (int i = 0; i < STEPS; i++) sum[corner % 2][i] += row[i] * share;
        }
      }
      lanes *out = (lanes *)(sums + (query * heads + head) * CHANNELS);
      for (int i = 0; i < STEPS; i++) out[i] = sum[0][i] + sum[1][i];
    }
  }
}

/* Computes the gradients, those of one head of one image on each thread: it has its own part of
   every array. `value_grad` must be zero before. `reference_grad` is
   (images, heads, queries, LEVELS, coordinates), each head's part of it, or null if it is not
   wanted. */
void sample_backward(
    const float *value, const float *size, const int32_t *start, const float *projected,
    const float *reference, const float *sums_grad, float *value_grad, float *projected_grad,
    float *reference_grad, int64_t images, int64_t pixels, int64_t queries, int64_t heads,
    int64_t coordinates, int64_t threads) {
  const int64_t pitch = heads * CHANNELS;
  Levels levels;
  spread_levels(size, start, &levels);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t part = 0; part < images * heads; part++) {
    Places places;
    Corners corners;
    float weights[POINTS];
    const int64_t image = part / heads, head = part % heads;
    const int64_t offset = image * pixels * pitch + head * CHANNELS;
    for (int64_t query = image * queries; query < (image + 1) * queries; query++) {
      const int64_t at = (query * 3 * heads + head) * POINTS, next = heads * POINTS;
      const float *x = projected + at, *y = x + next, *logits = y + next;
      find_places(
          x, y, reference + query * LEVELS * coordinates, coordinates, &levels, &places);
      find_corners(&places, &levels, pitch, 1, &corners);
      softmax(logits, weights);
      const lanes *grad = (const lanes *)(sums_grad + (query * heads + head) * CHANNELS);
      float product[4][POINTS];  /* of a corner's row and the sum's gradient */
      for (int p = 0; p < POINTS; p++) {
        for (int corner = 0; corner < 4; corner++) {
          const int64_t place = offset + corners.place[corner][p];
          const lanes *row = (const lanes *)(value + place);
          lanes *row_grad = (lanes *)(value_grad + place);
          const float share = weights[p] * corners.share[corner][p];
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

      float by_weight[POINTS], by_x[POINTS], by_y[POINTS], mean = 0;
      for (int p = 0; p < POINTS; p++) {
        by_weight[p] = by_x[p] = by_y[p] = 0;
        for (int corner = 0; corner < 4; corner++) {
          by_weight[p] += product[corner][p] * corners.share[corner][p];
          by_x[p] += product[corner][p] * corners.along_x[corner][p];
          by_y[p] += product[corner][p] * corners.along_y[corner][p];
        }
        mean += by_weight[p] * weights[p];
        by_x[p] *= weights[p];
        by_y[p] *= weights[p];
      }
      float *x_grad = projected_grad + at, *y_grad = x_grad + next, *logits_grad = y_grad + next;
      for (int p = 0; p < POINTS; p++) {
        x_grad[p] = by_x[p] * places.along_x[p];
        y_grad[p] = by_y[p] * places.along_y[p];
        logits_grad[p] = (by_weight[p] - mean) * weights[p];
      }
      if (!reference_grad) continue;

      const int64_t row = part * queries + query % queries;
      float *to = reference_grad + row * LEVELS * coordinates;
      for (int level = 0; level < LEVELS; level++, to += coordinates) {
        const float w = size[level], h = size[LEVELS + level];
        float moved[4] = {0};  /* the gradient by cx, cy, w, h */
        for (int p = level * POINTS_PER_LEVEL; p < (level + 1) * POINTS_PER_LEVEL; p++) {
          moved[0] += by_x[p] * w;
          moved[1] += by_y[p] * h;
          moved[2] += by_x[p] * x[p] * w / (2 * POINTS_PER_LEVEL);
          moved[3] += by_y[p] * y[p] * h / (2 * POINTS_PER_LEVEL);
        }
        for (int i = 0; i < coordinates; i++) to[i] = moved[i];
      }
    }
  }
}
