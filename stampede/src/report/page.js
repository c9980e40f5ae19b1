'use strict';
const R = JSON.parse(document.getElementById('data').textContent);
const page = document.getElementById('page'), tip = document.getElementById('tip');
page.textContent = '';

// ---- small things
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}
function svg(name, attributes = {}, text) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}
const whole = (n) => Math.round(n).toLocaleString('en');
const plain = (n) => n.toLocaleString('en', { maximumFractionDigits: Math.abs(n) < 10 ? 2 : Math.abs(n) < 100 ? 1 : 0 });
const trim = (n) => Math.abs(n) >= 100 ? whole(n) : String(Number(n.toPrecision(3)));
const ms = (n) => n >= 10000 ? trim(n / 1000) + ' s' : n >= 100 ? whole(n) + ' ms' : trim(n) + ' ms';
const secs = (n) => n >= 120 ? trim(n / 60) + ' min' : trim(n) + ' s';
const clock = (s) => { const t = Math.round(s - R.setting.opening), a = Math.abs(t);
  return (t < 0 ? '−' : '') + Math.floor(a / 60) + ':' + String(a % 60).padStart(2, '0'); };
const color = (n) => `var(--s${n})`;
// What all numbers of one axis are in: chosen by the largest of them, never from tick to tick.
const one = { by: 1, name: '' };
const seconds = (most) => most > 180 ? { by: 60, name: 'minutes' } : { by: 1, name: 'seconds' };

// ---- scales
function ticks(from, to, count) {
  const raw = (to - from) / count || 1, ten = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * ten).find((s) => s >= raw * 0.999);
  const out = [];
  for (let v = Math.ceil(from / step) * step; v <= to + step * 1e-6; v += step) out.push(v);
  return out;
}
function timeTicks(from, to) {
  const zero = R.setting.opening, span = to - from;
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600].find((s) => span / s <= 9) || 7200;
  const out = [];
  for (let v = zero + Math.ceil((from - zero) / step) * step; v <= to; v += step) out.push(v);
  return out;
}

// ---- one chart: lines, areas, stacked bars or points, with a crosshair that tells
function chart(card, o) {
  const W = o.wide ? 1100 : 520, H = o.height || 256, L = 58, B = 40, T = 28, Rr = 14;
  if (!o.yName || !(o.xName || o.time)) throw new Error(`an axis of "${o.title}" has no name`);
  const xUnit = o.xUnit || one, yUnit = o.yUnit || one;
  const all = o.series.filter((s) => s.points.length);
  if (!all.length) { card.append(el('p', { class: 'empty' }, o.empty || 'Nothing to show.')); return; }
  if (all.length > 1 || o.legend) {
    const box = el('div', { class: 'legend' });
    for (const s of all) box.append(el('span', {}, el('i', { style: `background:${s.color}` }), s.name));
    card.append(box);
  }
  const xs = all.flatMap((s) => s.points.map((p) => p[0]));
  let x0 = o.x0 ?? Math.min(...xs), x1 = o.x1 ?? Math.max(...xs);
  if (x1 <= x0) x1 = x0 + 1;
  const stacked = o.kind === 'stack', sums = new Map();
  if (stacked) for (const s of all) for (const [x, y] of s.points) sums.set(x, (sums.get(x) || 0) + y);
  let y1 = o.y1 ?? Math.max(...(stacked ? sums.values() : all.flatMap((s) => s.points.map((p) => p[1]))), o.least || 1) * 1.06;
  const logX = o.logX, fx = (v) => logX ? Math.log10(Math.max(v, x0)) : v;
  const px = (v) => L + (W - L - Rr) * (fx(v) - fx(x0)) / (fx(x1) - fx(x0)), py = (v) => T + (H - T - B) * (1 - Math.min(v, y1) / y1);
  const root = svg('svg', { viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': o.title });
  const within = (from, to, count, unit) => ticks(from / unit.by, to / unit.by, count).map((v) => v * unit.by);
  for (const v of o.yTicks || within(0, y1, 4, yUnit)) {
    root.append(svg('line', { class: 'grid', x1: L, x2: W - Rr, y1: py(v), y2: py(v) }));
    root.append(svg('text', { class: 'tick y', x: L - 8, y: py(v) + 4, 'text-anchor': 'end' }, plain(v / yUnit.by)));
  }
  const labels = logX ? decades(x0, x1) : o.time ? timeTicks(x0, x1) : within(x0, x1, o.wide ? 10 : 6, xUnit);
  for (const v of labels) root.append(svg('text', { class: 'tick x', x: px(v), y: H - B + 16, 'text-anchor': 'middle' }, o.time ? clock(v) : plain(v / xUnit.by)));
  root.append(svg('text', { class: 'name', x: 0, y: 10 }, o.yName));
  root.append(svg('text', { class: 'name', x: W - Rr, y: H - 4, 'text-anchor': 'end' }, o.time ? 'minutes:seconds from the opening of the sale' : o.xName));
  root.append(svg('line', { class: 'axis', x1: L, x2: W - Rr, y1: H - B, y2: H - B }));
  if (o.time && R.setting.opening > x0 + 1) {
    const x = px(R.setting.opening);
    root.append(svg('line', { class: 'mark', x1: x, x2: x, y1: T, y2: H - B }), svg('text', { x: x + 5, y: T - 1 }, 'sales open'));
  }
  const base = new Map();
  for (const s of all) {
    if (stacked) {
      const w = Math.max(1, (W - L - Rr) / (x1 - x0 + 1) * 0.86);
      for (const [x, y] of s.points) {
        const from = base.get(x) || 0; base.set(x, from + y);
        root.append(svg('rect', { x: px(x), y: py(from + y), width: w, height: Math.max(0.4, py(from) - py(from + y)), fill: s.color }));
      }
    } else if (s.kind === 'points') {
      for (const [x, y, old] of s.points) root.append(svg('circle', { cx: px(x), cy: py(y), r: 2.1, fill: s.color, opacity: 0.42 }));
    } else {
      const step = s.step ? (p, i) => (i ? `H${px(p[0]).toFixed(1)}` : 'M' + px(p[0]).toFixed(1) + ' ' + py(p[1]).toFixed(1)) + `V${py(p[1]).toFixed(1)}`
        : (p, i) => `${i ? 'L' : 'M'}${px(p[0]).toFixed(1)} ${py(p[1]).toFixed(1)}`;
      const d = s.points.map(step).join('');
      if (s.area) root.append(svg('path', { d: `${d}V${H - B}H${px(s.points[0][0])}Z`, fill: s.color, opacity: 0.13 }));
      root.append(svg('path', { d, fill: 'none', stroke: s.color, 'stroke-width': s.thin ? 1.4 : 2, 'stroke-linejoin': 'round',
        'stroke-dasharray': s.dash ? '5 4' : 'none' }));
    }
  }
  if (o.kind !== 'free') follow(root, all, { px, L, right: W - Rr, W, T, bottom: H - B, o, stacked });
  card.append(root);
}
function decades(from, to) {
  const out = [];
  for (let e = Math.ceil(Math.log10(from) - 1e-9); e <= Math.log10(to) + 1e-9; e++) out.push(10 ** e);
  return out.length > 1 ? out : [from, to];
}
function follow(root, all, c) {
  const line = svg('line', { class: 'cross', y1: c.T, y2: c.bottom, visibility: 'hidden' });
  root.append(line, svg('rect', { x: c.L, y: c.T, width: c.right - c.L, height: c.bottom - c.T, fill: 'transparent' }));
  const places = [...new Set(all.flatMap((s) => s.points.map((p) => p[0])))].sort((a, b) => a - b);
  root.addEventListener('pointermove', (event) => {
    const box = root.getBoundingClientRect(), at = (event.clientX - box.left) / box.width * c.W;
    const x = places.reduce((best, v) => Math.abs(c.px(v) - at) < Math.abs(c.px(best) - at) ? v : best, places[0]);
    line.setAttribute('x1', c.px(x)); line.setAttribute('x2', c.px(x)); line.setAttribute('visibility', 'visible');
    const rows = all.map((s) => {
      const p = c.stacked ? s.points.find((q) => q[0] === x) : s.points.reduce((b, q) => Math.abs(q[0] - x) < Math.abs(b[0] - x) ? q : b);
      return p ? `${s.name}: ${told(p[1], c.o.yUnit, c.o.yAfter)}` : null;
    }).filter(Boolean);
    tip.replaceChildren(...[c.o.time ? clock(x) + ' from the opening' : told(x, c.o.xUnit), ...rows].map((t) => el('div', {}, t)));
    tip.hidden = false;
    tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px';
    tip.style.top = event.clientY + 14 + 'px';
  });
  root.addEventListener('pointerleave', () => { tip.hidden = true; line.setAttribute('visibility', 'hidden'); });
}
const told = (v, unit = one, after = unit.name) => `${plain(v / unit.by)}${after && (after === '%' ? ' %' : ' ' + after)}`;
function card(parent, title, sub, options) {
  const box = el('section', { class: 'card' + (options.wide ? ' wide' : '') }, el('h3', {}, title), el('p', { class: 'sub' }, sub));
  parent.append(box);
  chart(box, { title, ...options });
}

// ---- the page, from the verdict down
function verdict() {
  const cut = R.headline.indexOf('. ');
  const [claim, crowd] = [R.headline.slice(0, cut + 1), R.headline.slice(cut + 2)];
  const colon = claim.indexOf(':');
  const h1 = el('h1', {}, ...(colon > 0 ? [el('b', {}, claim.slice(0, colon + 1)), claim.slice(colon + 1)] : [claim]));
  page.append(el('header', {},
    el('p', { class: 'kicker' }, `Rehearsal of ${R.setting.began.replace('T', ' ').replace('Z', ' UTC')}`),
    el('div', { class: 'verdict ' + R.grade }, h1, el('p', {}, crowd))));
  const peak = Math.max(0, ...R.series.room.map(([, s]) => s.waiting));
  const fastest = Math.max(0, ...Object.values(R.series.admissions));
  const op = (name) => R.figures.operations.find((o) => o.name === name);
  const tile = (value, text) => el('div', { class: 'tile' }, el('b', {}, value), el('span', {}, text));
  page.append(el('div', { class: 'tiles' },
    tile(whole(R.setting.fans), 'fans came'), tile(whole(peak), 'in line at most'),
    tile(R.waits.count ? secs(R.waits.p50) : '–', `median wait of ${whole(R.waits.count)} who were let in`),
    ...(R.not_let_in.count ? [tile(secs(R.not_let_in.p50), `median wait so far of ${whole(R.not_let_in.count)} who were not`)] : []),
    tile(fastest + ' / s', 'admitted at most'),
    tile(R.push.count ? ms(R.push.p99) : '–', 'p99, admission to push'),
    tile(op('holdSeat')?.times.count ? ms(op('holdSeat').times.p99) : '–', 'p99 of holdSeat')));
}
function judged() {
  page.append(el('h2', {}, 'Checks'));
  const rows = el('div', { class: 'rows' });
  for (const c of R.checks) {
    const [kind, word] = c.violations ? ['bad', 'violated'] : c.looked_at ? ['good', 'holds'] : ['none', 'not exercised'];
    const list = c.examples.length ? el('ul', {}, ...c.examples.map((e) => el('li', {}, e)),
      ...(c.violations > c.examples.length ? [el('li', {}, `and ${whole(c.violations - c.examples.length)} more`)] : [])) : null;
    rows.append(el('div', { class: 'row' }, el('div', {}, el('span', { class: 'pill ' + kind }, word)),
      el('div', {}, el('h3', {}, c.name), el('p', { class: 'sub' }, c.scope), list)));
  }
  page.append(rows, el('h2', {}, 'Goals'));
  const goals = el('div', { class: 'rows' });
  for (const g of R.goals) {
    const [kind, word] = g.met === null ? ['none', 'not measured'] : g.met ? ['good', 'met'] : ['warn', 'missed'];
    goals.append(el('div', { class: 'row' }, el('div', {}, el('span', { class: 'pill ' + kind }, word)),
      el('div', {}, el('h3', {}, g.name), el('p', { class: 'sub' }, g.met === null ? `Aim: ${g.aim}` : `${g.found} (aim: ${g.aim})`))));
  }
  page.append(goals);
  if (R.notes.length) page.append(el('div', { class: 'notes' }, ...R.notes.map((n) => el('p', {}, n))));
}
const room = (f) => R.series.room.map(([t, s]) => [t, f(s)]);
const filled = (counts, from, to) => { const out = []; for (let s = from; s <= to; s++) out.push([s, counts[s] || 0]); return out; };
function overTime() {
  const end = Math.max(R.setting.opening + 1, ...R.series.room.map(([t]) => t)), frame = { time: true, x0: 0, x1: end };
  const each = (counts) => filled(counts, 0, Math.floor(end));
  page.append(el('h2', {}, 'The line'));
  const grid = el('div', { class: 'charts' });
  page.append(grid);
  card(grid, 'People in line', 'and seats that nobody holds or owns', { ...frame, wide: true, height: 280, yName: 'people, seats', series: [
    { name: 'waiting', color: color(1), area: true, points: room((s) => s.waiting) },
    { name: 'free seats', color: color(2), points: room((s) => s.remaining_seats) }] });
  // Rounds do not begin with seconds, so a second now and then has none.
  const over = 2 * Math.ceil(R.setting.round_seconds) + 1;
  const smooth = (points) => points.map(([s], i) => { const near = points.slice(Math.max(0, i - (over >> 1)), i + (over >> 1) + 1);
    return [s, near.reduce((sum, p) => sum + p[1], 0) / near.length]; });
  card(grid, 'Arrivals and admissions', `admissions averaged over ${over} s`, { ...frame, yName: 'people a second', series: [
    { name: 'entered', color: color(7), thin: true, points: each(R.series.arrivals) },
    { name: 'admitted', color: color(1), area: true, points: smooth(each(R.series.admissions)) }] });
  card(grid, 'ACTIVE people', 'as the room counts them, and how many may be', { ...frame, yName: 'people', series: [
    { name: 'ACTIVE', color: color(3), area: true, step: true, points: room((s) => s.active) },
    { name: 'maxActive', color: color(5), dash: true, thin: true, step: true, points: room((s) => s.max_active) }] });
  const share = { yName: 'share of people, in %', yAfter: '%', y1: 100, yTicks: [0, 25, 50, 75, 100] };
  const waited = seconds(Math.max(R.waits.max, ...R.series.waits.map((p) => p[1])));
  const others = R.not_let_in.count ? `; ${whole(R.not_let_in.count)} more were not, after ${secs(R.not_let_in.p50)} in the median` : '';
  const cdf = (curve) => curve.map(([p, v]) => [v, p]);
  card(grid, 'How long people waited', `those who were let in${others}`, { ...share, series: [
    { name: 'waited at most so long', color: color(1), area: true, points: cdf(R.waits_curve) }], x0: 0, xUnit: waited, xName: `wait, in ${waited.name}` });
  card(grid, 'Wait by time of admission', 'the median of those let in within a second', { ...frame, yUnit: waited, yName: `wait, in ${waited.name}`, series: [
    { name: 'median wait', color: color(1), points: R.series.waits }] });
  page.append(el('h2', {}, 'What people are told'));
  const people = el('div', { class: 'charts' });
  page.append(people);
  card(people, 'From admission to its push', 'people who knew after so long', { ...share, series: [
    { name: 'told', color: color(1), area: true, points: cdf(R.push_curve) }], logX: true, x0: 1, x1: Math.max(10, R.push.max),
    xUnit: { by: 1, name: 'milliseconds' }, xName: 'time, in milliseconds, logarithmic' });
  card(people, 'Pushes', 'to all sockets', { ...frame, yName: 'pushes a second', series: [{ name: 'pushes', color: color(8), area: true, points: each(R.figures.pushes) }] });
  estimates(people, frame);
}
function estimates(parent, frame) {
  const points = R.estimates.points, most = Math.max(10, ...points.map((p) => Math.max(p[0], p[1])));
  const of = (settled) => points.filter((p) => p[2] === settled).map(([estimated, real]) => [real, estimated]);
  const unit = seconds(most);
  card(parent, 'Estimated against real wait', 'each point is an estimate that was shown; on the dashed line it came true', {
    kind: 'free', legend: true, x0: 0, x1: most, y1: most, xUnit: unit, yUnit: unit,
    xName: `real wait, in ${unit.name}`, yName: `estimated wait, in ${unit.name}`,
    empty: 'No estimate could be compared with a real wait.', series: points.length ? [
      { name: 'first minute', color: color(7), kind: 'points', points: of(false) },
      { name: 'later', color: color(1), kind: 'points', points: of(true) },
      { name: 'came true', color: color(5), dash: true, thin: true, points: [[0, 0], [most, most]] }] : [] });
  card(parent, 'Error of estimates', 'median by time of the estimate', { ...frame, yName: 'error, in % of the real wait', yAfter: '%',
    empty: 'No estimate could be compared with a real wait.', least: 16, series: R.estimates.by_time.length ? [
      { name: 'median error', color: color(1), points: R.estimates.by_time.map(([t, e]) => [t, e * 100]) },
      { name: 'aim', color: color(5), dash: true, thin: true, points: [[0, 15], [frame.x1, 15]] }] : [] });
}
function selling() {
  page.append(el('h2', {}, 'Selling'));
  const grid = el('div', { class: 'charts' });
  page.append(grid);
  const order = ['paid', 'held', 'SEAT_HELD', 'SEAT_SOLD', 'NO_ADJACENT_SEATS'], colors = { paid: 3, held: 1, SEAT_HELD: 2, SEAT_SOLD: 5, NO_ADJACENT_SEATS: 6 };
  const names = Object.keys(R.figures.sales).sort((a, b) => (order.indexOf(a) + 99) % 99 - (order.indexOf(b) + 99) % 99);
  let spare = 4;
  const series = names.map((name) => ({ name, color: color(colors[name] || (spare = spare === 4 ? 8 : spare === 8 ? 7 : 4)),
    points: Object.entries(R.figures.sales[name]).map(([s, n]) => [Number(s), n]) }));
  const last = Math.max(R.setting.opening, ...series.flatMap((s) => s.points.map((p) => p[0])));
  card(grid, 'Holds, payments and refusals', 'by code', { kind: 'stack', wide: true, height: 280, time: true, yName: 'answers a second', legend: true, x0: 0, x1: last + 1, series });
}
function operations() {
  page.append(el('h2', {}, 'Operations'));
  const worst = Math.max(10, ...R.figures.operations.map((o) => o.times.max));
  const at = (v) => Math.max(0, Math.log10(Math.max(v, 0.1) / 0.1) / Math.log10(worst / 0.1)) * 187;
  const body = el('tbody');
  for (const o of R.figures.operations) {
    const t = o.times, refused = Object.entries(o.outcomes).filter(([code]) => code !== 'OK').map(([code, n]) => `${code} ${whole(n)}`);
    const bar = el('span', { class: 'bar', title: 'p50 to p99, logarithmic' }, el('i', { style: `left:${at(t.p50)}px;width:${Math.max(2, at(t.p99) - at(t.p50))}px` }),
      el('u', { style: `left:${at(t.p50)}px` }), el('u', { class: 'end', style: `left:${at(t.p99)}px` }));
    body.append(el('tr', {}, el('td', {}, o.name), el('td', {}, whole(t.count)), ...[t.p50, t.p90, t.p99, t.max].map((v) => el('td', {}, plain(v))),
      el('td', {}, t.count ? bar : ''), el('td', { class: 'left codes' }, refused.join(', '))));
  }
  const head = ['operation', 'count', 'p50, ms', 'p90, ms', 'p99, ms', 'max, ms', 'p50 to p99', 'refusals and errors, and whose'];
  page.append(el('div', { class: 'rows scroll' }, el('table', {}, el('thead', {}, el('tr', {}, ...head.map((h, i) => el('th', i > 5 ? { class: 'left' } : {}, h)))), body)));
}
function bottom() {
  const s = R.setting, c = R.counts;
  page.append(el('h2', {}, 'How it was done'), el('div', { class: 'card' },
    el('p', {}, `${whole(s.fans)} fans with seed ${s.seed} for ${whole(s.seats)} seats over ${s.seconds} s, against ${s.urls.join(' and ')}. `
      + `A round of ${s.round_seconds} s admitted at most ${whole(s.admit_per_round)}. ${whole(c.away)} were away for a while, ${whole(c.left)} left, `
      + `${whole(c.expired)} let their time pass, ${whole(c.unfinished)} still waited at the end; `
      + `${whole(c.crashed)} crashed and ${whole(c.still_playing)} still played at curfew, of whom nothing else is in here. This load generator was late by ${R.own_lag_ms} ms at worst.`),
    el('pre', {}, s.command)),
  el('footer', {}, 'Latencies are seen by the client, from the first byte sent to the last received. Checks take only what is certain, so that a violation is never a matter of when a message arrived.'));
  document.title = `${{ good: 'Fair', goals: 'Goals missed', bad: 'FAILED' }[R.grade]}: rehearsal of ${s.began.slice(0, 16).replace('T', ' ')}`;
}
verdict(); judged(); overTime(); selling(); operations(); bottom();
