'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const state = { video: 0, frame: 0, playing: false, hidden: new Set(), score: 0, kind: '', fps: 6 };
let images = [], last = 0, decoded = new Map();

function make(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key in node && key !== 'style') node[key] = value; else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

// COCO's compressed RLE: six bits a character, differences to the run before the last
function runs(text) {
  const counts = [];
  for (let at = 0; at < text.length;) {
    let value = 0, shift = 0, more = true;
    while (more) {
      const bits = text.charCodeAt(at++) - 48;
      value |= (bits & 31) << shift;
      more = (bits & 32) !== 0;
      shift += 5;
      if (!more && (bits & 16)) value |= -1 << shift;
    }
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  return counts;
}

function bitmap(text, width, height, colour) {
  const key = text + colour;
  if (decoded.has(key)) return decoded.get(key);
  const canvas = make('canvas', { width, height });
  const context = canvas.getContext('2d');
  const picture = context.createImageData(width, height);
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  let place = 0, inside = false;
  for (const count of runs(text)) {
    if (inside) {
      for (let i = place; i < place + count; i++) {
        const to = 4 * ((i % height) * width + Math.floor(i / height));
        picture.data.set([r, g, b, 255], to);
      }
    }
    place += count;
    inside = !inside;
  }
  context.putImageData(picture, 0, 0);
  if (decoded.size > 2000) decoded.clear();
  decoded.set(key, canvas);
  return canvas;
}

const video = () => data.videos[state.video];
const key = (set, who) => `${set}/${who.id}`;
function shown(set, who) {
  return !state.hidden.has(key(set, who)) && (who.score === null || who.score >= state.score)
    && (!state.kind || who.classes.includes(state.kind));
}

function drawFrame(canvas, number) {
  const { width, height } = video(), context = canvas.getContext('2d');
  context.globalAlpha = 1;
  context.fillStyle = '#777';
  context.fillRect(0, 0, canvas.width, canvas.height);
  const image = images[state.frame];
  if (image && image.complete) context.drawImage(image, 0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  for (const who of video().sets[number].identities) {
    const mask = who.masks[state.frame];
    if (!mask || !shown(number, who)) continue;
    context.globalAlpha = 0.55;
    context.drawImage(bitmap(mask, width, height, who.colour), 0, 0, canvas.width, canvas.height);
  }
  context.globalAlpha = 1;
}

const ROW = 9;
function drawTime(canvas, number) {
  const set = video().sets[number], length = video().length;
  const style = getComputedStyle(document.documentElement);
  const context = canvas.getContext('2d'), step = canvas.width / length;
  context.clearRect(0, 0, canvas.width, canvas.height);
  set.identities.forEach((who, row) => {
    context.globalAlpha = shown(number, who) ? 1 : 0.25;
    context.fillStyle = who.colour;
    who.masks.forEach((mask, t) => {
      if (mask) context.fillRect(t * step, row * ROW + 1, Math.max(step, 1), ROW - 2);
    });
  });
  context.globalAlpha = 1;
  const base = set.identities.length * ROW;
  context.fillStyle = style.getPropertyValue('--bad');
  for (const [t] of set.misses) context.fillRect(t * step, base + 2, Math.max(step - 0.5, 1), 3);
  for (const [t, , , now] of set.switches) context.fillRect(t * step - 1, now * ROW, 3, ROW);
  context.fillStyle = style.getPropertyValue('--fg');
  context.fillRect((state.frame + 0.5) * step - 0.75, 0, 1.5, canvas.height);
}

function draw() {
  document.querySelectorAll('canvas.frame').forEach((canvas, i) => drawFrame(canvas, i));
  document.querySelectorAll('canvas.time').forEach((canvas, i) => drawTime(canvas, i));
  const slider = document.getElementById('frame');
  if (slider) {
    slider.value = state.frame;
    document.getElementById('where').textContent = `${state.frame + 1} / ${video().length}`;
    document.getElementById('play').textContent = state.playing ? 'Pause' : 'Play';
  }
}

function go(frame) {
  state.frame = Math.min(Math.max(frame, 0), video().length - 1);
  draw();
}

function figureOf(set, number) {
  const { width, height, length } = video();
  const frame = make('canvas', { className: 'frame', width: Math.max(width, 320),
    height: Math.round(height * Math.max(width, 320) / width) });
  frame.setAttribute('role', 'img');
  frame.setAttribute('aria-label', `${set.name}, the current frame with its masks`);
  const time = make('canvas', { className: 'time', width: Math.max(length, 600),
    height: set.identities.length * ROW + 8 });
  time.setAttribute('role', 'img');
  time.setAttribute('aria-label',
    `time line: ${set.identities.length} identities, ${set.switches.length} switches`);
  time.addEventListener('click', (event) => {
    const box = time.getBoundingClientRect();
    go(Math.floor((event.clientX - box.left) / box.width * length));
  });
  const who = make('div', { className: 'who' });
  for (const one of set.identities) {
    const box = make('input', { type: 'checkbox', checked: !state.hidden.has(key(number, one)) });
    box.addEventListener('change', () => {
      state.hidden[box.checked ? 'delete' : 'add'](key(number, one));
      draw();
    });
    const score = one.score === null ? '' : ` ${one.score.toFixed(2)}`;
    who.append(make('label', {}, box, make('i', { style: `background:${one.colour}` }),
      `#${one.id} ${one.classes.join(', ')}${score}`));
  }
  const counts = set.name === 'ground truth' ? ''
    : ` — ${set.switches.length} switches, ${set.misses.length} misses`;
  return make('figure', {}, make('figcaption', {}, set.name + counts), frame, time, who);
}

function showVideo(number) {
  state.video = number;
  state.frame = 0;
  state.hidden.clear();
  decoded.clear();
  images = (video().frames || []).map((source) => {
    const image = new Image();
    image.onload = draw;
    image.src = source;
    return image;
  });
  document.querySelectorAll('nav button').forEach((button, i) => {
    button.setAttribute('aria-current', i === number);
  });
  const place = document.getElementById('video');
  const kinds = [...new Set(video().sets.flatMap((s) => s.identities.flatMap((w) => w.classes)))];
  const play = make('button', { id: 'play', type: 'button' }, 'Play');
  play.addEventListener('click', toggle);
  const slider = make('input', { id: 'frame', type: 'range', min: 0, max: video().length - 1,
    value: 0, 'aria-label': 'frame' });
  slider.addEventListener('input', () => go(Number(slider.value)));
  const kind = make('select', { id: 'kind', 'aria-label': 'class' },
    make('option', { value: '' }, 'all classes'),
    ...kinds.sort().map((name) => make('option', { value: name }, name)));
  kind.value = kinds.includes(state.kind) ? state.kind : (state.kind = '');
  kind.addEventListener('change', () => { state.kind = kind.value; draw(); });
  const score = make('input', { id: 'score', type: 'range', min: 0, max: 1, step: 0.01,
    value: state.score, 'aria-label': 'least score' });
  const scoreText = make('output', {}, state.score.toFixed(2));
  score.addEventListener('input', () => {
    state.score = Number(score.value);
    scoreText.textContent = state.score.toFixed(2);
    draw();
  });
  place.replaceChildren(
    make('h2', {}, video().name),
    make('div', { className: 'bar' }, play, slider, make('span', { id: 'where' }), kind,
      make('label', {}, 'score from ', score, ' ', scoreText)),
    make('div', { className: 'sets' }, ...video().sets.map(figureOf)),
    make('p', { className: 'hint' }, 'Space plays, ← and → step, [ and ] change the video, '
      + 't the theme. A click on a time line jumps; red are switches, and below them misses.'));
  draw();
}

function toggle() {
  state.playing = !state.playing;
  if (state.playing) requestAnimationFrame(tick);
  draw();
}

function tick(now) {
  if (!state.playing) return;
  if (now - last > 1000 / state.fps) {
    last = now;
    go((state.frame + 1) % video().length);
  }
  requestAnimationFrame(tick);
}

function theme() {
  const root = document.documentElement, dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const is = root.dataset.theme || (dark ? 'dark' : 'light');
  root.dataset.theme = is === 'dark' ? 'light' : 'dark';
  if (data.videos.length) draw();
}

function bars(title, rows, most) {
  const table = make('table', {});
  for (const [name, value, note] of rows) {
    const width = Math.max(0, value) / (most || 1) * 9;
    table.append(make('tr', {}, make('td', {}, name), make('td', {}, value.toFixed(3)),
      make('td', {}, make('span', { className: 'meter', style: `width:${width}em` })),
      make('td', { className: 'hint' }, note || '')));
  }
  return make('div', {}, make('h2', {}, title), table);
}

function scores() {
  const place = make('section', { id: 'scores' });
  if (!data.results.length) return place;
  const names = Object.keys(data.results[0].scores);
  const table = make('table', {},
    make('tr', {}, make('th', {}, 'scores'), ...names.map((name) => make('th', {}, name))));
  for (const result of data.results) {
    table.append(make('tr', {}, make('td', {}, result.name), ...names.map((name) =>
      make('td', {}, result.scores[name] < 0 ? '-' : result.scores[name].toFixed(3)))));
  }
  place.append(table);
  for (const result of data.results) {
    const losses = Object.entries(result.losses).map(([kind, of]) => [kind, of.AP, `${of.count}`]);
    const kept = result.identities.map((row) => [
      `${row.low}${row.high === row.low ? '' : row.high === null ? '+' : `–${row.high}`}`,
      row.kept / row.returns, `of ${row.returns}`]);
    place.append(make('h2', {}, result.name), make('div', { className: 'cols' },
      bars('AP lost by kind of error', losses, Math.max(...losses.map((row) => row[1]))),
      bars('AP by class', Object.entries(result.classes).map(([n, ap]) => [n, ap]), 1),
      bars('identities kept, by frames unseen', kept, 1)));
  }
  return place;
}

const toggleTheme = make('button', { type: 'button', id: 'theme' }, 'Light / dark');
toggleTheme.addEventListener('click', theme);
const list = make('ol', {}, ...data.list.map((entry, i) => {
  const loss = entry.loss === null ? '' : entry.loss.toFixed(3);
  const inner = [make('span', {}, entry.name), make('small', {}, loss)];
  if (entry.link) return make('li', {}, make('a', { href: entry.link }, ...inner));
  const button = make('button', { type: 'button' }, ...inner);
  button.addEventListener('click', () => showVideo(i));
  return make('li', {}, button);
}));
document.body.append(
  make('header', {}, make('h1', {}, document.title), make('span', { className: 'bar' },
    ...(data.back ? [make('a', { href: data.back }, 'all videos')] : []), toggleTheme)),
  make('main', {}, make('nav', { 'aria-label': 'videos, the worst first' }, list),
    make('div', {}, make('section', { id: 'video' }), scores())));
document.addEventListener('keydown', (event) => {
  if (event.target.matches('input[type=range], select') && event.key.startsWith('Arrow')) return;
  if (event.key === 't') theme();
  if (!data.videos.length) return;
  const act = {
    ' ': () => { if (!event.target.matches('button, input')) { event.preventDefault(); toggle(); } },
    ArrowRight: () => go(state.frame + 1),
    ArrowLeft: () => go(state.frame - 1),
    ']': () => showVideo((state.video + 1) % data.videos.length),
    '[': () => showVideo((state.video + data.videos.length - 1) % data.videos.length),
  }[event.key];
  if (act) act();
});
if (data.videos.length) showVideo(0);
