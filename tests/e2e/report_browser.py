"""What a browser makes of reports: no complaint on its console, the right counts, keys that work, nothing wider than a phone.

Without chromium or google-chrome the test is skipped (exit code 77)."""
import json
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
from page import HOSTILE, QUESTIONS, Page, make_hostile_page, make_usual  # noqa: E402
from program import PICTURE, WORK, Case, environment, main, make_model, run  # noqa: E402

BROWSER = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)


class Browser(Case):
    @classmethod
    def setUpClass(cls):
        cls.path = make_usual()[1]
        cls.text = cls.path.read_text(encoding="utf-8")
        cls.page = Page(cls.text)

    PROBE = """<script nonce="NONCE">
      window.addEventListener("load", () => {
        const key = (k) => document.dispatchEvent(new KeyboardEvent("keydown", { key: k, bubbles: true }));
        const seen = { list: document.querySelectorAll(".list li").length, answers: document.querySelectorAll(".answer").length,
                       steps: document.querySelectorAll(".step").length, first: document.querySelector(".question").textContent };
        key("3");
        seen.canvases = document.querySelectorAll("canvas").length;
        key("j");
        seen.second = document.querySelector(".question").textContent;
        seen.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
        seen.title = document.title;
        seen.alpha = Math.max(...Array.from(document.querySelectorAll("canvas"), (canvas) =>
          Math.max(...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.filter((v, i) => i % 4 === 3))));
        seen.hot = document.querySelectorAll("rect.hot.top").length;
        seen.why = Array.from(document.querySelectorAll(".step .numbers"), (span) => span.textContent).filter((text) => text.startsWith("Nothing"));
        const search = document.querySelector("input[type=search]");
        if (search) {
          seen.count = document.querySelector(".count").textContent;
          search.value = "no question says this";
          search.dispatchEvent(new Event("input"));
          seen.none = document.querySelectorAll(".list li").length;
        }
        document.body.setAttribute("data-seen", JSON.stringify(seen));
      });
    </script></body>"""

    def look(self, path, place=""):
        """What the page says of itself after a few keys, and the console's lines."""
        text = path.read_text(encoding="utf-8")
        nonce = text.split("style nonce=\"")[1].split("\"")[0]
        probed = path.with_suffix(".probe.html")
        probed.write_text(text.replace("</body>", self.PROBE.replace("NONCE", nonce)))
        done = subprocess.run([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
                               f"--user-data-dir={WORK / 'profile'}", "--window-size=375,800", "--virtual-time-budget=5000", "--dump-dom",
                               probed.as_uri() + place], capture_output=True, text=True, timeout=300, check=False, env=environment())
        found = done.stdout.split("data-seen=\"")
        self.assertEqual(len(found), 2, done.stderr[-2000:])
        seen = found[1].split("\"")[0].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        return json.loads(seen), [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    def test_page(self):
        seen, console = self.look(self.path)
        first, second = self.page.data()["questions"][:2]
        self.assertEqual(console, [])
        self.assertEqual((seen["list"], seen["answers"]), (QUESTIONS, 3))
        self.assertEqual(seen["steps"], 6)
        self.assertEqual(seen["canvases"], 7)  # the prompt of the one without steps, and three steps of each of the others
        self.assertEqual((seen["first"], seen["second"]), (first["question"], second["question"]))
        self.assertEqual(seen["count"], f"2 of {QUESTIONS}")
        self.assertEqual(seen["none"], 0)
        self.assertLessEqual(seen["wide"], 0)  # nothing is wider than a phone

    def test_one_answer(self):
        """Its title is the question; the place with the most attention is transparent; steps without picks give the reason."""
        path = WORK / "answer.html"
        for more, why in (((), "all 16 embeddings were picked before"), (("--k-select", 0), "k-select is 0"),
                          (("--latent-picks", "none"), "latent-picks is none"), (("--method", "coconut"), "this method feeds no part")):
            method = () if "--method" in more else ("--method", "ivt-lr", *(() if more else ("--k-select", 16)))
            done = run("run", "-m", make_model("model"), "--image", PICTURE, "--image-size", "112x112", "-n", 2, "-t", 1,
                       "-p", "What is  this?", *method, *more, "--n-latent", 2, "--report", path, "--force")
            self.assertEqual(done.returncode, 0, done.stderr)
            seen, console = self.look(path)
            self.assertEqual((console, seen["title"]), ([], "What is this?"))
            self.assertTrue(0 < seen["alpha"] <= 128, seen["alpha"])
            self.assertGreater(seen["hot"], 0)
            self.assertEqual(len(seen["why"]), 1 if not more else 2)
            self.assertIn(why, seen["why"][-1])
            self.assertLessEqual(seen["wide"], 0)

    def test_place(self):
        """The address names the question; one that cannot be read is the first."""
        third = self.page.data()["questions"][2]
        seen, console = self.look(self.path, "#question=" + third["id"])
        self.assertEqual((console, seen["first"]), ([], third["question"]))
        seen, console = self.look(self.path, "#question=%E0%A4%A")
        self.assertEqual((console, seen["first"]), ([], self.page.data()["questions"][0]["question"]))

    def test_hostile(self):
        seen, console = self.look(make_hostile_page())
        self.assertEqual(console, [])
        self.assertNotEqual(seen["title"], "broken")
        self.assertEqual(seen["first"], "Is it? " + HOSTILE)

    def test_a_fault_is_told(self):
        """A script that the policy does not know is refused, and the console says so: the tests above can fail."""
        broken = WORK / "broken-policy.html"
        broken.write_text(self.text.replace("</main>", "<script>document.title='broken'</script></main>"))
        seen, console = self.look(broken)
        self.assertEqual(len(console), 1)
        self.assertNotEqual(seen["title"], "broken")


if BROWSER is None:
    print("skipped: no browser is here, neither chromium nor google-chrome")
    sys.exit(77)
main()
