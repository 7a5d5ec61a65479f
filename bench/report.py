"""The figures of a run as Markdown: the targets, the tables, where it was."""

from statistics import median

ORDER = ("ours", "original", "cdk")


class Figures:
    """The medians of a run's repetitions."""

    def __init__(self, results):
        self.records = results["records"]
        self.many = results["databases"]
        self.extensions = sorted({record["extensions"] for record in self.records})
        self.round_trips = sorted({record["round_trip"] for record in self.records})
        self.databases = sorted({record["databases"] for record in self.many})

    def values(self, contender, figure, **where):
        """One figure of a contender's runs, of those that fit."""
        return [
            record[figure] for record in self.records
            if record["contender"] == contender and all(record[key] == value for key, value in where.items())
        ]

    def of(self, contender, figure, **where):
        """Its median."""
        return median(self.values(contender, figure, **where))

    def ddl(self, extensions):
        """What the server takes to create so many extensions, at whatever distance."""
        return self.of("server", "ddl", extensions=extensions)

    def look(self):
        """What it takes for one look at `pg_available_extension_versions`."""
        return self.of("server", "look")

    def beyond(self, contender, extensions, round_trip, less=("ddl",), and_start=False):
        """Event to answer of a Create, less what the server takes for `less`, in milliseconds.

        The server was measured in the same repetition: a machine's speed changes within a run.
        """
        where = {"extensions": extensions, "round_trip": round_trip}
        figures = ("create", "start") if and_start else ("create",)
        ours = zip(*(self.values(contender, figure, **where) for figure in figures), strict=True)
        servers = zip(*(self.values("server", figure, **where) for figure in less), strict=True)
        return median(sum(took) - sum(server) for took, server in zip(ours, servers, strict=True))

    def own(self, contender, extensions, round_trip, less=("ddl",)):
        """Start and Create, less what the server takes."""
        return self.beyond(contender, extensions, round_trip, less, and_start=True)

    def in_many(self, contender, figure, databases, round_trip):
        """A figure of the runs with many databases; None where there was no such run."""
        for record in self.many:
            where = (record["contender"], record["databases"], record["round_trip"])
            if where == (contender, databases, round_trip):
                return record[figure]
        return None


def number(value):
    """Three figures, or all digits before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def table(header, rows):
    """A Markdown table; the first column is text."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def targets(results):
    """Each target, what was measured, and whether it holds."""
    figures = Figures(results)
    five = {"extensions": 5, "round_trip": 0}
    far = figures.round_trips[-1]
    most = figures.extensions[-1]
    rows = []

    def ratio(what, ours, original, limit, said, unit=" ms"):
        share = ours / original
        rows.append([
            what, said, f"{number(ours)}{unit} / {number(original)}{unit} = 1/{1 / share:.1f}"
            if share < 0.5 else f"{number(ours)}{unit} / {number(original)}{unit} = {share:.2f}",
            "yes" if share <= limit else "**no**",
        ])

    def both(figure, **where):
        return [figures.of(contender, figure, **where) for contender in ("ours", "original")]

    ratio("start to ready", *both("start"), 1 / 40, "at most 1/40")
    ratio("processor time, cold start and one install of 5", *both("cpu", **five), 1 / 20, "at most 1/20")
    ratio("own time, cold start and one install of 5, less one look at the view",
          figures.own("ours", 5, 0, ("ddl", "look")), figures.own("original", 5, 0), 1 / 12, "at most 1/12")
    ratio("event with nothing to do, warm, 5 extensions", *both("warm", **five), 0.7, "at most 0.7")
    ratio("peak memory", *both("memory", **five), 1 / 5, "at most 1/5", " MB")
    counts = [max(figures.values("ours", "create_flights", extensions=count, round_trip=far))
              for count in (1, most)]
    rows.append([f"client flights, 1 and {most} extensions", "at most 10, the same",
                 f"{counts[0]} and {counts[1]}", "yes" if counts[0] == counts[1] <= 10 else "**no**"])
    rows.append(["client flights where an update path is looked up", "at most 10", results["path_flights"],
                 "yes" if results["path_flights"] <= 10 else "**no**"])
    if 20 in figures.extensions and 20 in figures.round_trips:
        original = figures.beyond("original", 20, 20)
        ratio("20 extensions at 20 ms, event to answer beyond the server's DDL",
              figures.beyond("ours", 20, 20), original, 1 / 4, "at most 1/4")
        ratio("the same, less one look at the view",
              figures.beyond("ours", 20, 20, ("ddl", "look")), original, 1 / 4, "(no target)")
        if rows[-1][-1] != "yes":
            rows[-1][-1] = "no"
    if 200 in figures.databases and 2 in figures.round_trips:
        for what, figure in (("install", "create"), ("nothing to do", "warm")):
            many = [figures.in_many(contender, figure, 200, 2) for contender in ("ours", "original")]
            ratio(f"200 databases at 2 ms, {what}", *many, 1 / 3, "at most 1/3")
    zipped = results["binary"]["zipped"] / 1e6
    rows.append(["zipped bootstrap", "at most 3.5 MB", f"{zipped:.2f} MB", "yes" if zipped <= 3.5 else "**no**"])
    return table(["figure", "target, against the original", "measured", "holds"], rows)


def cold(results):
    """Cold start and one install of five, near the server."""
    figures, names = Figures(results), results["names"]
    five = {"extensions": 5, "round_trip": 0}
    rows = []
    for key in ORDER:
        of = lambda figure: number(figures.of(key, figure, **five))  # noqa: E731
        rows.append([names[key], of("start"), of("create"), number(figures.own(key, 5, 0)), of("cpu"),
                     of("memory"), of("warm"), of("warm_cpu")])
    return table(["", "start to ready", "Create", "own time", "processor", "memory, MB", "nothing to do, warm",
                  "its processor"], rows)


def distances(results):
    """Event to answer of a Create beyond the server's DDL, by distance and number of extensions."""
    figures, names = Figures(results), results["names"]
    rows = []
    for round_trip in figures.round_trips:
        for key in ORDER:
            rows.append([f"{round_trip} ms: {names[key]}", *(
                number(figures.beyond(key, count, round_trip)) for count in figures.extensions
            )])
    rows.append(["the server's DDL", *(number(figures.ddl(count)) for count in figures.extensions)])
    return table(["", *(str(count) for count in figures.extensions)], rows)


def flights(results):
    """The client's flights, at the farthest distance."""
    figures, names = Figures(results), results["names"]
    far = figures.round_trips[-1]
    rows = [[names[key], *(
        number(figures.of(key, "create_flights", extensions=count, round_trip=far)).removesuffix(".0")
        for count in figures.extensions
    ), number(figures.of(key, "warm_flights", extensions=figures.extensions[-1], round_trip=far)).removesuffix(".0")]
        for key in ORDER]
    return table(["", *(str(count) for count in figures.extensions), "nothing to do"], rows)


def databases(results):
    """One extension in many databases."""
    figures, names = Figures(results), results["names"]
    rows = []
    for round_trip in figures.round_trips:
        for key in ORDER:
            cells = []
            for count in figures.databases:
                install, nothing = (figures.in_many(key, kind, count, round_trip) for kind in ("create", "warm"))
                cells.append("" if install is None else f"{number(install)}, {number(nothing)}")
            rows.append([f"{round_trip} ms: {names[key]}", *cells])
    return table(["", *(str(count) for count in figures.databases)], rows)


def document(results):
    """docs/benchmarks.md."""
    figures, place = Figures(results), results["machine"]
    weight = results["binary"]
    with open(__file__.replace("report.py", "benchmarks.md.in")) as source:
        text = source.read()
    words = {
        "targets": targets(results), "cold": cold(results), "distances": distances(results),
        "flights": flights(results), "databases": databases(results),
        "look": number(figures.look()), "ddl_of_5": number(figures.ddl(5)),
        "plain": f"{weight['plain'] / 1e6:.2f}", "zipped": f"{weight['zipped'] / 1e6:.2f}",
        "repetitions": results["repetitions"], **place,
    }
    for name, value in words.items():
        text = text.replace("{" + name + "}", str(value))
    return text
