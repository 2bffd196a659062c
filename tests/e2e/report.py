"""tenebra eval report and run --report: the page against the tables, its questions against the records, hostile texts."""
import base64
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
from page import HOSTILE, METHODS, QUESTIONS, Page, ask, make_data, make_hostile_page, make_usual  # noqa: E402
from program import PICTURE, WORK, Case, main, make_model, run  # noqa: E402


class Report(Case):
    @classmethod
    def setUpClass(cls):
        cls.results, cls.path = make_usual()
        cls.text = cls.path.read_text(encoding="utf-8")
        cls.page = Page(cls.text)
        cls.records = {}
        for line in cls.results.read_text(encoding="utf-8").split("\n")[1:-1]:
            row = json.loads(line)
            cls.records[row["id"], row["method"]] = row

    def test_the_page_is_whole_and_alone(self):
        self.assertEqual(self.page.open, [])
        self.assertTrue(all(load.startswith("data:image/") for load in self.page.loads), self.page.loads)
        self.assertEqual(self.page.tags.count("script"), 3)
        self.assertNotIn("link", self.page.tags)
        self.assertNotRegex(self.text, r"\sstyle=\"|\son\w+=\"|@import|url\(")
        self.assertIn("default-src 'none'", self.text)
        self.assertTrue({"run", "charts", "tables", "questions", "browser"} <= self.page.ids)

    def test_figures_are_those_of_the_table(self):
        tables = {table["name"]: table for table in json.loads(run("eval", "table", self.results, "--json").stdout)["tables"]}
        self.assertEqual(set(self.page.tables), set(tables))
        compared = 0
        for name, table in tables.items():
            head, *rows = self.page.tables[name]
            columns = [column["name"] for column in table["columns"]]
            places = [columns.index(title) for title in head]
            self.assertEqual(len(rows), len(table["rows"]))
            for shown, row in zip(rows, table["rows"]):
                for place, cell in zip(places, shown):
                    value = row[place]["value"] if isinstance(row[place], dict) else row[place]
                    if value is None:
                        self.assertEqual(cell, "\u2013")
                    elif isinstance(value, str):
                        self.assertEqual(cell, value)
                    else:
                        self.assertAlmostEqual(cell, value, delta=1e-8 * max(1, abs(value)))
                        self.assertNotAlmostEqual(cell + 0.01, value, delta=1e-8 * max(1, abs(value)))
                        compared += 1
        self.assertGreater(compared, 60)

    def test_questions_are_the_records(self):
        data = self.page.data()
        self.assertEqual([way["name"] for way in data["ways"]], METHODS.split(","))
        self.assertEqual([way["style"] for way in data["ways"]], ["b0", "a0", "a1"])
        self.assertEqual({question["id"] for question in data["questions"]}, {key[0] for key in self.records})
        for question in data["questions"]:
            self.assertEqual(len(question["options"]), 4)
            self.assertEqual(len(question["pictures"]), 1)
            for answer in question["answers"]:
                row = self.records[question["id"], data["ways"][answer["way"]]["name"]]
                self.assertEqual((answer["ok"], answer["text"]), (row["correct"], row["text"]))
                self.assertEqual(answer["tokens"], row["tokens"])
                self.assertEqual(len(answer["steps"]), len(row["steps"]))
                for shown, step in zip(answer["steps"], row["steps"]):
                    self.assertEqual([pick[1:5] for pick in shown["picks"]], [pick[3:] for pick in step["picks"]])
                    self.assertEqual(len(shown["lens"]), 3)
        self.assertEqual("".join(chr(65 + question["answer"]) for question in data["questions"]),
                         "".join(self.records[question["id"], "direct"]["gold"] for question in data["questions"]))

    def test_maps(self):
        data, pictures = self.page.data(), json.loads(self.page.scripts["pictures"])
        question = data["questions"][0]
        answer = question["answers"][1]
        row = self.records[question["id"], data["ways"][1]["name"]]
        self.assertEqual(answer["grids"], [[4, 4, 0, 0, *row["pictures"][0][:2]]])
        self.assertEqual(pictures[question["pictures"][0]][:2], row["pictures"][0][:2])
        for shown, step in zip(answer["steps"], row["steps"]):
            (raw, masked, relative), scores, neutral = shown["maps"][0], step["scores"], row["neutral"]
            cells = base64.b64decode(raw[1])
            self.assertEqual(len(cells), 16)
            for cell, score in zip(cells, scores):
                self.assertAlmostEqual(cell / 255 * raw[0], score, delta=max(scores) / 254)
            border = [i for i in range(16) if i // 4 in (0, 3) or i % 4 in (0, 3)]
            inside = base64.b64decode(masked[1])
            self.assertTrue(all(inside[i] == 0 for i in border) and any(inside))
            ratio = [a / sum(scores) / (b / sum(neutral)) for a, b in zip(scores, neutral)]
            self.assertAlmostEqual(relative[0], max(ratio), delta=1e-4 * max(ratio))
            self.assertEqual(max(range(16), key=lambda i: base64.b64decode(relative[1])[i]), ratio.index(max(ratio)))
        self.assertNotEqual(answer["steps"][0]["maps"], answer["steps"][1]["maps"])

    def test_scores_change_nothing_else(self):
        """A run without them gives the same answers, and a page that says what it lacks."""
        plain = WORK / "plain.jsonl"
        self.assertEqual(ask(plain, "--lens", 3, data=f"hops:{make_data()}").returncode, 0)
        for line in plain.read_text().splitlines()[1:]:
            row = json.loads(line)
            told = self.records[row["id"], row["method"]]
            self.assertEqual({k: row[k] for k in ("text", "tokens", "positions_computed", "correct")},
                             {k: told[k] for k in ("text", "tokens", "positions_computed", "correct")})
            self.assertNotIn("neutral", row)
        self.assertEqual(run("eval", "report", plain, "-o", WORK / "plain.html").returncode, 0)
        answer = Page((WORK / "plain.html").read_text()).data()["questions"][0]["answers"][1]
        self.assertNotIn("maps", answer)
        self.assertEqual(len(answer["steps"][0]["picks"]), 3)
        done = ask(plain, "--lens", 3, "--scores", data=f"hops:{make_data()}")
        self.assert_fails(done, 1, "scores")

    def test_size_and_choice(self):
        whole = self.path.stat().st_size
        target = WORK / "small.html"
        done = run("eval", "report", self.results, "-o", target, "--max-size", round((whole - 40000) / 1048576, 4))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertLessEqual(target.stat().st_size, whole - 40000 + 200)
        page = Page(target.read_text())
        shown = len(page.data()["questions"])
        self.assertTrue(0 < shown < QUESTIONS)
        self.assertTrue(any(f"{shown} of {QUESTIONS}" in note and "--max-size" in note for note in page.notes), page.notes)
        run("eval", "report", self.results, "-o", target, "--force", "--limit", 4, "--rows", "ivt-lr:k-select=5,direct")
        page = Page(target.read_text())
        self.assertEqual([way["name"] for way in page.data()["ways"]], ["ivt-lr:k-select=5", "direct"])
        self.assertEqual(len(page.data()["questions"]), 4)
        wanted = sorted(key[0] for key in self.records if key[1] == "direct")[2]
        run("eval", "report", self.results, "-o", target, "--force", "--ids", wanted)
        self.assertEqual([question["id"] for question in Page(target.read_text()).data()["questions"]], [wanted])

    def test_runs_with_several_seeds(self):
        """One row in tables and charts; each run's answers with the file's name."""
        other, target = WORK / "seed.jsonl", WORK / "seeds.html"
        self.assertEqual(ask(other, "--seed", 4, "--temp", 1, data=f"hops:{make_data()}").returncode, 0)
        done = run("eval", "report", "--group", f"both={self.results},{other}", "-o", target, "--force")
        self.assertEqual(done.returncode, 0, done.stderr)
        page = Page(target.read_text(encoding="utf-8"))
        names = [f"both: {method}" for method in METHODS.split(",")]
        self.assertEqual([row[0] for row in page.tables["methods"][1:]], names)
        self.assertEqual([way["name"] for way in page.data()["ways"]],
                         [f"{name} ({file})" for name in names for file in ("run.jsonl", "seed.jsonl")])
        self.assertEqual({len(question["answers"]) for question in page.data()["questions"]}, {2 * len(names)})
        self.assert_fails(run("eval", "report", "--group", "nobody", "-o", target, "--force"), 2, "NAME=FILE")

    def test_moved_data(self):
        moved, target = WORK / "moved", WORK / "moved.html"
        shutil.copytree(make_data(), WORK / "going")
        results = WORK / "moved.jsonl"
        self.assertEqual(ask(results, data=f"hops:{WORK / 'going'}", methods="direct").returncode, 0)
        (WORK / "going").rename(moved)
        self.assertEqual(run("eval", "report", results, "-o", target).returncode, 0)
        page = Page(target.read_text())
        self.assertNotIn("question", page.data()["questions"][0])
        self.assertTrue(any("--data" in note for note in page.notes))
        self.assertEqual(run("eval", "report", results, "-o", target, "--force", "--data", f"hops:{moved}").returncode, 0)
        page = Page(target.read_text())
        self.assertIn("question", page.data()["questions"][0])
        self.assertEqual(page.notes, [])
        self.assert_fails(run("eval", "report", results, "-o", WORK / "x.html", "--data", f"hops:{WORK / 'going'}"), 1, "going")
        self.assertFalse((WORK / "x.html").exists())
        next(moved.rglob("*-test-3.png")).write_bytes(b"no picture")
        self.assertEqual(run("eval", "report", results, "-o", target, "--force", "--data", f"hops:{moved}").returncode, 0)
        page = Page(target.read_text())
        self.assertEqual(sum(question["pictures"] == [None] for question in page.data()["questions"]), 1)
        self.assertTrue(any("cannot be shown" in note for note in page.notes))

    def test_hostile_texts(self):
        text = make_hostile_page().read_text(encoding="utf-8")
        page = Page(text)
        self.assertEqual(page.tags.count("script"), 3)
        self.assertEqual(page.open, [])
        self.assertNotIn("<!--", text)
        question = page.data()["questions"][0]
        self.assertEqual(question["question"], "Is it? " + HOSTILE)
        self.assertEqual(question["answers"][0]["text"], HOSTILE)
        self.assertIn("document.title", page.tables["domains"][1][0])

    def test_run(self):
        target = WORK / "one.html"
        done = run("run", "-m", make_model("model"), "--image", PICTURE, "-p", "What? " + HOSTILE, "--method", "ivt-lr", "--k-select", 4,
                   "-n", 5, "-t", 1, "--image-size", "112x112", "--json", "--report", target, "--force")
        self.assertEqual(done.returncode, 0, done.stderr)
        trace, page = json.loads(done.stdout), Page(target.read_text())
        question = page.data()["questions"][0]
        answer = question["answers"][0]
        self.assertEqual(question["question"], "What? " + HOSTILE)
        self.assertEqual(answer["text"], trace["answer"])
        self.assertEqual([[pick[1:5] for pick in step["picks"]] for step in answer["steps"]],
                         [[pick["rectangle"] for pick in step["picks"]] for step in trace["steps"]])
        self.assertEqual(len(answer["neutral"]), 1)
        self.assertEqual(page.tags.count("script"), 3)
        self.assertEqual(page.loads, [])
        done = run("run", "-m", make_model("model"), "-p", "What?", "-n", 2, "--report", target, "--force")
        self.assertEqual(done.returncode, 0, done.stderr)  # without a picture there are no maps
        self.assertNotIn("neutral", Page(target.read_text()).data()["questions"][0]["answers"][0])
        done = run("run", "-m", make_model("model"), "-p", "What?", "-n", 2, "--report", WORK / "no" / "place.html")
        self.assertEqual(done.returncode, 1)
        self.assertIn("place.html", done.stderr)

    def test_mistakes(self):
        self.assert_fails(run("eval", "report", "-o", WORK / "x.html"), 2, "requires result files")
        self.assert_fails(run("eval", "report", self.results), 2, "-o")
        self.assert_fails(run("eval", "report", self.results, "-o", WORK / "x.html", "--ids", "nobody"), 2, "id")
        self.assert_fails(run("eval", "report", self.results, "-o", WORK / "x.html", "--rows", "nothing"), 2, "nothing")
        done = run("eval", "report", self.results, "-o", WORK / "x.html", "--rows", "drect")
        self.assert_fails(done, 2, "there is no row 'drect'; did you mean 'direct'?")
        self.assert_fails(run("eval", "report", PICTURE, "-o", WORK / "x.html"), 1, "rgb8.png")
        self.assertFalse((WORK / "x.html").exists())
        self.assertEqual(list(WORK.glob("*.part")), [])


main()
