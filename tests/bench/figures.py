"""Medians of interleaved rounds, their ratios, the bars that they must keep, and the table of them."""

import json
import statistics

import chart


class Figures:
    """What was measured, in the order of the workloads."""

    def __init__(self, options):
        self.rounds = options.rounds or (3 if options.quick else 5)
        self.seconds = 0.6 if options.quick else 1.2
        self.results = []

    def interleave(self, turns):
        """{name: function} to {name: [a value a round]}; every other round runs backwards."""
        values = {name: [] for name in turns}
        for number in range(self.rounds):
            for name in list(turns) if number % 2 == 0 else reversed(list(turns)):
                values[name].append(turns[name]())
        return values

    def rates(self, loads):
        for load in loads:
            load.calibrate(self.seconds + load.clients / 250)  # a round connects, too
        return self.interleave({load.name: load.run for load in loads})

    def add(self, name, value, unit, against="", ratio=None, least=None, most=None):
        passed = None
        if least is not None:
            passed = ratio >= least
        elif most is not None:
            passed = ratio <= most
        self.results.append({"name": name, "value": round(value, 3), "unit": unit, "against": against,
                             "ratio": None if ratio is None else round(ratio, 3),
                             "bar": least if least is not None else most, "pass": passed,
                             "at_least": least is not None})

    def compare(self, name, values, unit, subject, against, **bar):
        """Adds the medians' ratio, round by round."""
        ratio = statistics.median(a / b for a, b in zip(values[subject], values[against]))
        self.add(name, statistics.median(values[subject]), unit, against, ratio, **bar)


def print_table(results):
    rows = [("", "value", "unit", "against", "ratio", "bar", "")]
    for result in results:
        ratio, bar, verdict = "", "", ""
        if result["ratio"] is not None:
            ratio = f"{result['ratio']:.2f}"
        if result["bar"] is not None:
            direction = "≥" if result["at_least"] else "≤"
            bar = f"{direction} {result['bar']:g}"
            verdict = "pass" if result["pass"] else "MISSED"
        rows.append((result["name"], f"{result['value']:,.{0 if result['value'] >= 100 else 2}f}",
                     result["unit"], result["against"], ratio, bar, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    left = {0, 2, 3, 6}
    for row in rows:
        print("  ".join(cell.ljust(width) if column in left else cell.rjust(width)
                        for column, (cell, width) in enumerate(zip(row, widths))).rstrip())


def write(results, folder):
    """results.json and results.svg."""
    (folder / "results.svg").write_text(chart.draw(results))
    # The directions of the bars are in `pass`.
    public = [{key: value for key, value in result.items() if key != "at_least"} for result in results]
    (folder / "results.json").write_text(json.dumps(public, indent=1, ensure_ascii=False) + "\n")
