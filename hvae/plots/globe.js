"use strict";

// Globes of points on S^2. Every canvas has a rotation of its own, a 3 x 3 matrix whose rows are the
// axes of the view: right, up, towards the reader.
(() => {
  const UNIT = 1000;
  const { classes, owner, spheres } = JSON.parse(document.getElementById("points").textContent);
  const hidden = new Set();
  const globes = [];

  const multiply = (a, b) =>
    a.map((row) => b[0].map((_, j) => row.reduce((sum, x, k) => sum + x * b[k][j], 0)));

  const turn = (right, up) => {
    const [c, s, d, t] = [Math.cos(right), Math.sin(right), Math.cos(up), Math.sin(up)];
    return multiply([[1, 0, 0], [0, d, -t], [0, t, d]], [[c, 0, s], [0, 1, 0], [-s, 0, c]]);
  };

  const see = (view, x, y, z) => view.map((axis) => axis[0] * x + axis[1] * y + axis[2] * z);

  // Lines every 30 degrees: the near side darker than the far one.
  const graticule = () => {
    const lines = [];
    const point = (lon, lat) => [
      Math.cos(lat) * Math.cos(lon), Math.cos(lat) * Math.sin(lon), Math.sin(lat),
    ];
    const steps = [...Array(61).keys()].map((i) => i / 60);
    for (let k = 0; k < 6; k++) {
      lines.push(steps.map((s) => point((k * Math.PI) / 6 + (s > 0.5 ? Math.PI : 0),
        (s > 0.5 ? 1.5 - 2 * s : 2 * s - 0.5) * Math.PI)));
    }
    for (let k = -2; k <= 2; k++) {
      lines.push(steps.map((s) => point(2 * Math.PI * s, (k * Math.PI) / 6)));
    }
    return lines;
  };
  const LINES = graticule();

  const draw = (globe) => {
    const { canvas, view, points } = globe;
    const context = canvas.getContext("2d");
    const side = canvas.width;
    const radius = 0.46 * side;
    const place = (seen) => [side / 2 + radius * seen[0], side / 2 - radius * seen[1]];
    context.clearRect(0, 0, side, side);
    context.lineWidth = side / 500;
    context.strokeStyle = "#777777";
    context.beginPath();
    context.arc(side / 2, side / 2, radius, 0, 2 * Math.PI);
    context.stroke();
    for (const line of LINES) {
      for (let i = 1; i < line.length; i++) {
        const [a, b] = [see(view, ...line[i - 1]), see(view, ...line[i])];
        context.strokeStyle = a[2] + b[2] > 0 ? "#CCCCCC" : "#EEEEEE";
        context.beginPath();
        context.moveTo(...place(a));
        context.lineTo(...place(b));
        context.stroke();
      }
    }
    const seen = [];
    for (let i = 0; i < owner.length; i++) {
      if (!hidden.has(owner[i])) {
        const [x, y, z] = points.slice(3 * i, 3 * i + 3);
        seen.push([see(view, x / UNIT, y / UNIT, z / UNIT), owner[i]]);
      }
    }
    seen.sort((a, b) => a[0][2] - b[0][2]);
    const size = (side / 400) * (owner.length > 1000 ? 2.2 : 3.2);
    for (const [at, own] of seen) {
      context.globalAlpha = at[2] > 0 ? 0.85 : 0.15;
      context.fillStyle = classes[own].colour;
      context.beginPath();
      context.arc(...place(at), size * (0.8 + 0.2 * at[2]), 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
  };

  const rotate = (globe, right, up) => {
    globe.view = multiply(turn(right, up), globe.view);
    draw(globe);
  };

  const listen = (globe) => {
    const { canvas } = globe;
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      last = [event.clientX, event.clientY];
    });
    canvas.addEventListener("pointermove", (event) => {
      if (last !== null) {
        const scale = 2 / canvas.clientWidth;
        rotate(globe, scale * (event.clientX - last[0]), scale * (event.clientY - last[1]));
        last = [event.clientX, event.clientY];
      }
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => { last = null; });
    }
    const keys = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    canvas.addEventListener("keydown", (event) => {
      if (event.key in keys) {
        event.preventDefault();
        rotate(globe, 0.1 * keys[event.key][0], 0.1 * keys[event.key][1]);
      }
    });
  };

  const legend = () => {
    const list = document.getElementById("legend");
    if (classes.length === 1 && classes[0].name === "") { return; }
    classes.forEach(({ name, colour }, own) => {
      const [item, label] = [document.createElement("li"), document.createElement("label")];
      const [box, dot] = [document.createElement("input"), document.createElement("span")];
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => {
        if (box.checked) { hidden.delete(own); } else { hidden.add(own); }
        globes.forEach(draw);
      });
      dot.style.background = colour;
      label.append(box, dot, document.createTextNode(name));
      item.append(label);
      list.append(item);
    });
  };

  for (const canvas of document.querySelectorAll("canvas[data-globe]")) {
    const density = window.devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(400 * density);
    // The pole is up, longitude 0 towards the reader, and the whole tilted a little.
    const upright = [[0, 1, 0], [0, 0, 1], [1, 0, 0]];
    const globe = {
      canvas, view: multiply(turn(0, 0.35), upright), points: spheres[+canvas.dataset.globe],
    };
    globes.push(globe);
    listen(globe);
    draw(globe);
  }
  legend();
})();
