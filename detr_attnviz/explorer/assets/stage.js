"use strict";

/** The picture with the map on it: sizes, painting, and what the pointer and the arrow keys mean there. */
attnviz.stage = (() => {
  const MOST_PAINTED = 640000; // pixels: a finer overlay cannot be told from one that the browser stretches
  const SAME_PLACE_PX = 4;
  const FAST = 5;
  const BESIDE = 0.5; // of the room for the picture, where something is beside it
  const LEAST_BESIDE = 0.36;
  const CLEARLY = 1.2;
  const NARROW = matchMedia("(max-width: 820px)"); // as in windows.css: all in one column
  const painted = { map: "", marks: "", picture: -1, data: null };
  const room = { bench: [0, 0], stage: [0, 0] }; // to ask for sizes in every frame would lay the page out twice
  let parts = null;
  let clicked = null; // where the last click was: repeated clicks there go through the boxes below

  const byId = (id) => document.getElementById(id);

  const start = () => {
    parts = {
      stage: byId("stage"),
      bench: byId("bench"),
      frame: byId("frame"),
      image: byId("image"),
      overlay: byId("overlay"),
      marks: byId("marks"),
      spot: byId("spot"),
    };
    const observer = new ResizeObserver(measured);
    for (const part of [parts.bench, parts.stage]) observer.observe(part);
    parts.frame.addEventListener("pointermove", moved);
    parts.frame.addEventListener("pointerleave", left);
    parts.frame.addEventListener("click", chose);
    parts.stage.addEventListener("keydown", walked);
    attnviz.state.on((state) => {
      showPicture(state);
      fit(state);
      show(state);
    });
  };

  /** Fits the picture in before the browser paints it; others hear of it in the next frame. */
  const measured = (entries) => {
    for (const { target, contentRect } of entries)
      room[target.id] = [contentRect.width, contentRect.height].map(Math.floor);
    const state = attnviz.state.get();
    fit(state);
    show(state);
    attnviz.state.set({});
  };

  const showPicture = (state) => {
    if (painted.picture === state.picture) return;
    painted.picture = state.picture;
    const picture = attnviz.shown.pictureOf(state);
    parts.image.src = attnviz.arrays.pictureURL(picture.image);
    parts.image.alt = picture.name;
  };

  /** Shares the room with what stands beside the picture, on the side where the picture can be larger. */
  const share = ({ width_px: across, height_px: down }) => {
    const [width, height] = room.bench;
    const isAlone = byId("aside").hidden || NARROW.matches;
    const [below, beside] = [
      Math.min(width / across, (height * BESIDE) / down),
      Math.min((width * BESIDE) / across, height / down),
    ];
    const isStacked = !isAlone && below > CLEARLY * beside;
    parts.bench.classList.toggle("stacked", isStacked);
    const wanted = Math.min(width * BESIDE, Math.max(width * LEAST_BESIDE, (height * across) / down));
    parts.stage.style.flexBasis = isAlone || isStacked ? "" : `${Math.round(wanted)}px`;
    parts.stage.classList.toggle("fixed", !isAlone && !isStacked);
  };

  /** Makes the picture as large as the stage allows. */
  const fit = (state) => {
    const picture = attnviz.shown.pictureOf(state);
    share(picture);
    const scale = Math.min(room.stage[0] / picture.width_px, room.stage[1] / picture.height_px);
    const size = [picture.width_px, picture.height_px].map((length) => Math.max(1, Math.round(length * scale)));
    const ratio = devicePixelRatio || 1;
    const key = [...size, ratio].join(" ");
    if (parts.frame.dataset.size === key) return;
    parts.frame.dataset.size = key;
    [parts.frame.style.width, parts.frame.style.height] = size.map((length) => `${length}px`);
    resize(parts.marks, size, ratio);
    resize(parts.overlay, size, Math.min(ratio, Math.sqrt(MOST_PAINTED / (size[0] * size[1]))));
    painted.map = painted.marks = "";
    painted.data = null;
  };

  const resize = (canvas, size, ratio) => {
    [canvas.width, canvas.height] = size.map((length) => Math.max(1, Math.round(length * ratio)));
  };

  const show = (state) => {
    const shown = attnviz.shown.now();
    const look = [shown.serial, state.smooth, state.alpha, attnviz.shown.cmapOf(shown, state)].join(" ");
    if (painted.map !== look) {
      painted.map = look;
      paintOn(
        parts.overlay,
        shown,
        state,
        (context, width, height) => (painted.data ??= context.createImageData(width, height)),
      );
      parts.overlay.classList.toggle("cells", state.smooth === "nearest");
    }
    const marked = [look, state.boxes, state.dots, state.threshold, state.labels.map(encodeURIComponent)].join(" ");
    if (painted.marks !== marked) {
      painted.marks = marked;
      mark(shown, state);
    }
    showSpot(shown, state);
  };

  /** Outlines the cell that is read out. */
  const showSpot = (shown, state) => {
    const isSeen = state.cursor && shown.grid && !(shown.view === "encoder" && state.preview);
    const cell = isSeen ? attnviz.grid.cellAt(shown.grid, ...state.cursor) : -1;
    parts.spot.hidden = cell < 0;
    if (cell < 0) return;
    const [left, top, right, bottom] = attnviz.grid.cellBox(shown.grid, cell);
    const { width_px: across, height_px: down } = shown.picture;
    const places = {
      left: left / across,
      top: top / down,
      width: (right - left) / across,
      height: (bottom - top) / down,
    };
    for (const [name, part] of Object.entries(places)) parts.spot.style[name] = `${100 * part}%`;
  };

  /** The map of what is shown on the whole canvas; nothing where it has none. */
  const paintOn = (canvas, shown, state, dataOf) => {
    const context = canvas.getContext("2d");
    if (!shown.values || !shown.grid) return context.clearRect(0, 0, canvas.width, canvas.height);
    const data = dataOf(context, canvas.width, canvas.height);
    attnviz.colour.paint(data, shown.values, shown.grid, {
      ceiling: shown.ceilingOfAll ?? shown.ceiling,
      cmap: attnviz.shown.cmapOf(shown, state),
      alpha: state.alpha,
      smooth: state.smooth,
      isSigned: shown.isSigned,
      fade: true,
    });
    context.putImageData(data, 0, 0);
  };

  const mark = (shown, state) => {
    const context = parts.marks.getContext("2d");
    context.clearRect(0, 0, parts.marks.width, parts.marks.height);
    attnviz.marks.draw(context, { ...shown, state }, devicePixelRatio || 1);
  };

  /** The pointer's place in original pixels. */
  const placeOf = (event, picture) => {
    const rect = parts.frame.getBoundingClientRect();
    return [
      ((event.clientX - rect.left) / rect.width) * picture.width_px,
      ((event.clientY - rect.top) / rect.height) * picture.height_px,
    ];
  };

  /** Listed detections whose boxes hold the place, smallest first. */
  const under = (picture, state, [x, y]) =>
    attnviz.shown
      .listed(picture, state)
      .filter(({ box: [left, top, right, bottom] }) => x >= left && x <= right && y >= top && y <= bottom)
      .sort((one, other) => areaOf(one.box) - areaOf(other.box));

  const areaOf = ([left, top, right, bottom]) => (right - left) * (bottom - top);

  const isNear = (event) =>
    clicked && Math.hypot(event.clientX - clicked[0], event.clientY - clicked[1]) <= SAME_PLACE_PX;

  const moved = (event) => {
    const state = attnviz.state.get();
    const picture = attnviz.shown.pictureOf(state);
    const place = placeOf(event, picture);
    const isFollowing = state.follow !== event.shiftKey && event.pointerType !== "touch" && !isNear(event);
    if (!isNear(event)) clicked = null;
    attnviz.state.set({ cursor: place, preview: isFollowing ? previewOf(picture, state, place) : null });
  };

  const previewOf = (picture, state, place) => {
    if (state.view === "encoder") return { point: place };
    const [first] = under(picture, state, place);
    return first ? { query: first.query } : null;
  };

  const left = () => {
    clicked = null;
    attnviz.state.set({ cursor: null, preview: null });
  };

  const chose = (event) => {
    const state = attnviz.state.get();
    const picture = attnviz.shown.pictureOf(state);
    const place = placeOf(event, picture);
    if (state.view === "encoder") {
      attnviz.state.set({ point: place, preview: null, cursor: place });
      return;
    }
    const found = under(picture, state, place);
    const at = isNear(event) ? found.findIndex((one) => one.query === state.query) : -1;
    clicked = [event.clientX, event.clientY];
    if (found.length) attnviz.state.set({ query: found[(at + 1) % found.length].query, preview: null, cursor: place });
  };

  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  /** Arrow keys move the chosen cell of the encoder, elsewhere the cell that is read out; Shift makes five steps. */
  const walked = (event) => {
    const step = STEPS[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const state = attnviz.state.get();
    const shown = attnviz.shown.now();
    const grid = state.view === "encoder" && shown.site ? attnviz.shown.pointGrid(shown.site, state) : shown.grid;
    if (!grid) return;
    const from = state.view === "encoder" ? state.point : (state.cursor ?? firstPlace(shown));
    const to = stepped(grid, from, step, event.shiftKey ? FAST : 1);
    attnviz.state.set(
      state.view === "encoder" ? { point: to, cursor: to, preview: null } : { cursor: to, preview: null },
    );
  };

  const firstPlace = (shown) => attnviz.grid.center(shown.grid, Math.max(0, attnviz.shown.peakCell(shown)));

  const stepped = (grid, [x, y], [right, down], times) => {
    const cell = Math.max(0, attnviz.grid.cellAt(grid, x, y));
    const col = Math.min(grid.cols - 1, Math.max(0, (cell % grid.cols) + right * times));
    const row = Math.min(grid.rows - 1, Math.max(0, Math.floor(cell / grid.cols) + down * times));
    return attnviz.grid.center(grid, row * grid.cols + col);
  };

  /** The height for what stands beside the picture. */
  const heightBeside = () => (NARROW.matches ? innerHeight : byId("aside").clientHeight);

  return { start, paintOn, under, heightBeside };
})();
