"""Draws the results of run.py as SVG: throughputs as bars, then each ratio against its bar."""

import html

WIDTH = 900
LABEL = 330  # where the bars begin
LENGTH = 440  # of the longest bar
ROW = 24
COLOURS = {True: "#2e7d32", False: "#c62828", None: "#90a4ae"}


def _text(x, y, text, more=""):
    return f'<text x="{x}" y="{y}" {more}>{html.escape(text)}</text>'


def _bar(y, label, length, colour, note):
    return (_text(LABEL - 8, y + 15, label, 'text-anchor="end"')
            + f'<rect x="{LABEL}" y="{y + 3}" width="{max(length, 1):.1f}" height="16" fill="{colour}"/>'
            + _text(LABEL + max(length, 1) + 6, y + 15, note))


def _throughput(results, title, prefix, y):
    rows = {}
    for result in results:
        if result["unit"].endswith("/s") and result["name"].startswith(prefix):
            rows.setdefault(result["name"], result["value"])
    if not rows:
        return "", y
    out = _text(10, y + 16, title, 'font-weight="bold"')
    y += ROW + 4
    most = max(rows.values())
    for name, value in rows.items():
        colour = COLOURS[None] if ": " in name else "#1565c0"
        out += _bar(y, name, LENGTH * value / most, colour, f"{value:,.0f}")
        y += ROW
    return out, y + 14


def _ratios(results, y):
    """The line is the bar; a ratio that must not be exceeded passes left of it, others right of it."""
    rows = [result for result in results if result["bar"] is not None]
    if not rows:
        return "", y
    out = _text(10, y + 16, "Ratios, each scaled to its bar (the line)", 'font-weight="bold"')
    y += ROW + 4
    top, line = y, LENGTH / 2
    for result in rows:
        direction = "≥" if result["at_least"] else "≤"
        length = min(line * result["ratio"] / result["bar"], LENGTH)
        out += _bar(y, f"{result['name']} / {result['against']}", length, COLOURS[result["pass"]],
                    f"{result['ratio']:.2f} ({direction} {result['bar']:g})")
        y += ROW
    out += f'<path d="M{LABEL + line} {top}V{y}" stroke="black" stroke-dasharray="4 3"/>'
    return out, y + 14


def draw(results):
    body, y = "", 10
    for title, prefix in (("GetNumber from memory, calls a second", "GetNumber"),
                          ("ListAvailableNumbers, 100 numbers, replies a second", "ListAvailableNumbers, 100 "),
                          ("ListAvailableNumbers, 1,000 numbers", "ListAvailableNumbers, 1,000 "),
                          ("ListAvailableNumbers, 10,000 numbers", "ListAvailableNumbers, 10,000 ")):
        part, y = _throughput(results, title, prefix, y)
        body += part
    part, y = _ratios(results, y)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
            f'viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" font-size="12">'
            f'<rect width="100%" height="100%" fill="white"/>{body}{part}</svg>\n')
