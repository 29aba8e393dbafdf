// Looks at the page as it is laid out, and says what it found.
addEventListener("load", () => {
	const all = (selector, root = document) => [...root.querySelectorAll(selector)];
	const box = element => element.getBoundingClientRect();
	const say = element => element.textContent.slice(0, 60) || element.outerHTML.slice(0, 80);
	const meet = (a, b) => a.left < b.right - 0.5 && b.left < a.right - 0.5 && a.top < b.bottom - 0.5 && b.top < a.bottom - 0.5;
	const found = {
		bars: all("svg.bars").length,
		rects: all("svg.bars rect").length,
		dots: all("svg.bars circle").length,
		lines: all("svg.curves polyline").length,
		failed: all("svg.bars .failed").length,
		overlapping: [], outside: [], empty: [], wide: [], order: true,
	};
	for (const svg of all("svg")) {
		const frame = box(svg);
		if (frame.width < 200 || frame.height < 20) found.empty.push(svg.getAttribute("aria-label"));
		const texts = all("text", svg);
		texts.forEach((text, at) => {
			const own = box(text);
			if (own.left < frame.left - 1 || own.right > frame.right + 1 || own.top < frame.top - 1 || own.bottom > frame.bottom + 1)
				found.outside.push(say(text));
			for (const other of texts.slice(at + 1)) if (meet(own, box(other))) found.overlapping.push(say(text) + " | " + say(other));
		});
		for (const shape of all("rect, circle, polyline", svg)) {
			const own = box(shape);
			if (own.width <= 0 && own.height <= 0) found.empty.push(say(shape));
			if (own.left < frame.left - 1 || own.right > frame.right + 1) found.outside.push(shape.outerHTML.slice(0, 80));
		}
		// Rows stand in the order of the runtimes; a wider bar has a larger figure in the table below.
		const rows = all("rect", svg).map(rect => box(rect).width);
		const table = svg.parentElement.querySelector("table");
		if (table && rows.length > 1) {
			const size = text => {
				const [number, unit] = text.split(" ");
				return parseFloat(number) * ({ns: 1, us: 1e3, ms: 1e6, s: 1e9, KiB: 1024, MiB: 1 << 20, "k/s": 1e3, "M/s": 1e6}[unit] || 1);
			};
			const figures = all("tr", table).slice(1).map(row => row.cells[2].textContent).filter(Boolean).map(size);
			for (let i = 0; i < rows.length; i++) for (let j = 0; j < rows.length; j++)
				if (figures[i] > figures[j] * 1.05 && rows[i] < rows[j]) found.order = false;
		}
	}
	// Nothing makes the page itself wider than the window.
	if (document.documentElement.scrollWidth > innerWidth + 1) found.wide.push(document.documentElement.scrollWidth + " > " + innerWidth);
	const out = document.createElement("pre");
	out.id = "found";
	out.textContent = JSON.stringify(found);
	document.body.append(out);
});
