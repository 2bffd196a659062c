"""Pages of `tenebra eval report` for tests: a run, its page, and a reader of pages. Plain Python, no packages."""
import html.parser
import json
import shutil

from program import PICTURE, WORK, make_model, run

METHODS, QUESTIONS = "direct,ivt-lr:k-select=3,ivt-lr:k-select=5", 9
HOSTILE = "</script><script>document.title='broken'</script>\"'<!-- \u2028 \u202e & \x0b"


class Page(html.parser.HTMLParser):
    """Tables as rows of numbers and texts, scripts by id, tags by name, and everything that is loaded from somewhere."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.scripts, self.tags, self.loads, self.open, self.ids, self.notes = {}, {}, [], [], [], set(), []
        self.table = self.cell = self.script = self.note = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.ids |= {given["id"]} if "id" in given else set()
        self.loads += [given[name] for name in ("src", "href", "action", "data") if name in given and not given[name].startswith("#")]
        if tag not in ("meta", "link", "br", "img", "input", "path", "rect"):
            self.open.append(tag)
        if tag == "table":
            self.table = self.tables.setdefault(given["id"].replace("table-", ""), [])
        elif tag == "tr":
            self.table.append([])
        elif tag in ("td", "th"):
            self.cell = ""
        elif tag == "data":
            self.cell = float(given["value"])
        elif tag == "script":
            self.script = given.get("id", "own")
            self.scripts[self.script] = ""
        elif tag == "li" and "aside" in self.open:
            self.note = ""

    def handle_endtag(self, tag):
        if tag in ("path", "rect"):
            return
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()
        if tag in ("td", "th"):
            self.table[-1].append(self.cell)
            self.cell = None
        elif tag == "script":
            self.script = None
        elif tag == "li" and self.note is not None:
            self.notes.append(self.note)
            self.note = None

    def handle_data(self, data):
        if self.script is not None:
            self.scripts[self.script] += data
        elif isinstance(self.cell, str):
            self.cell += data
        if self.note is not None:
            self.note += data

    def data(self):
        return json.loads(self.scripts["data"])


def make_data():
    directory = WORK / "looks"
    if not directory.exists():
        done = run("data", "make", "hops", directory, "--train", 2, "--dev", 2, "--test", QUESTIONS, "--seed", 5)
        assert done.returncode == 0, done.stderr
    return directory


def ask(output, *more, data, methods=METHODS):
    return run("eval", "-m", make_model("model"), "--data", data, "--method", methods, "--image-size", "112x112", "-n", 5, "-t", 1,
               "-o", output, *more)


def make_hostile_data():
    """A set in the layout of a published one whose texts try to break out."""
    directory = WORK / "hostile"
    if not directory.exists():
        (directory / "images").mkdir(parents=True)
        shutil.copy(PICTURE, directory / "images" / "one.png")
        row = {"id": "a-1", "category": HOSTILE, "image_id": "x", "question": "Is it? " + HOSTILE, "choices": ["yes " + HOSTILE, "no"],
               "context": HOSTILE, "answer": "B", "rationale": "r", "split": "test", "image": "images/one.png", "domain": HOSTILE,
               "topic": HOSTILE}
        (directory / "test.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "id": "b " + HOSTILE}) + "\n")
    return directory


def make_usual():
    """The result file of a small run with scores, and its page."""
    results, path = WORK / "run.jsonl", WORK / "run.html"
    if not path.exists():
        done = ask(results, "--scores", "--lens", 3, data=f"hops:{make_data()}")
        assert done.returncode == 0, done.stderr
        done = run("eval", "report", results, "-o", path)
        assert done.returncode == 0 and done.stdout == "", done.stderr
    return results, path


def make_hostile_page():
    """A page of that set, in which the model, too, says such things, and one question failed."""
    results, target = WORK / "hostile.jsonl", WORK / "hostile.html"
    if not target.exists():
        done = ask(results, "--scores", data=f"m3cot:{make_hostile_data()}", methods="direct,coconut")
        assert done.returncode == 0, done.stderr
        manifest, *rows = map(json.loads, results.read_text(encoding="utf-8").split("\n")[:-1])
        for row in (manifest, *rows):
            del row["digest"]
        for row in rows:
            row["text"] = HOSTILE
        rows[-1].update(failed=True, error={"code": 1, "where": HOSTILE, "sentence": HOSTILE})
        results.write_text("\n".join(map(json.dumps, (manifest, *rows))) + "\n")
        done = run("eval", "report", results, "-o", target)
        assert done.returncode == 0, done.stderr
    return target
