"""Sizes of images: those of training apply to questions, and an option or a part of --messages overrides them.

    pictures.py PROGRAM DATA [TEST ...]
"""
import base64
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import OTHER_PICTURE, PICTURE, WORK, Case, main, make_model, run  # noqa: E402

QUESTION = ("-p", "What is small and green?")


def make_data():
    directory = WORK / "hops"
    if not directory.exists():
        done = run("data", "make", "hops", directory, "--train", 4, "--dev", 2, "--test", 2, "--seed", 3)
        assert done.returncode == 0, done.stderr
    return directory


def train(name, *settings):
    """An adapter on the random model, or, with finetuning_type=full, a model."""
    folder = WORK / name
    if not folder.exists():
        changes = ("method=ivt-lr", "k_select=4", "lora_rank=2", "num_epochs=1", "max_latent_stage=1", "max_updates=1", "batch_size=1",
                   "gradient_accumulation_steps=1", "val_samples=1", "val_tokens=2", *settings)
        done = run("train", "-m", make_model("model"), "-d", f"hops:{make_data()}", "-o", folder,
                   *(word for change in changes for word in ("--set", change)))
        assert done.returncode == 0, done.stderr
    return folder


def see(*arguments, model=None):
    """The number of embeddings of an image, and the contents of stderr."""
    done = run("run", "-m", model or make_model("model"), "--image", PICTURE, *QUESTION, "-n", 2, "-t", 1, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["counts"]["image"], done.stderr


class Trained(Case):
    def test_the_control_has_the_size_of_the_model(self):
        seen, errors = see()
        self.assertEqual(seen, 6)
        self.assertNotIn("images", errors)

    def test_an_adapter_is_asked_at_the_size_of_its_training(self):
        adapter = train("fixed", "image_size=280x280") / "adapter"
        seen, errors = see("--lora", adapter)
        self.assertEqual(seen, 100)
        self.assertRegex(errors, r"(?m)^note +images are resized to 280x280, as in training")
        seen, errors = see("--lora", adapter, "--image-size", "112x112")
        self.assertEqual(seen, 16)
        self.assertNotIn("280", errors)
        self.assertEqual(see("--lora", adapter, "--image-max-tokens", 4)[0], 6)
        done = run("run", "-m", make_model("model"), "--lora", adapter, *QUESTION, "-n", 2, "-t", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("280", done.stderr)  # there is no image

    def test_bounds_of_an_adapter_hold_to_the_pixel(self):
        seen, errors = see("--lora", train("bounded", "image_min_pixels=50000") / "adapter")
        self.assertEqual(seen, 77)  # 63.8 cells at least: 7 x 11
        self.assertIn("at least 50000 pixels", errors)

    def test_a_model_is_asked_at_the_size_of_its_training(self):
        model = train("full", "finetuning_type=full", "image_size=280x280") / "model"
        seen, errors = see(model=model)
        self.assertEqual(seen, 100)
        self.assertIn("280x280", errors)

    def test_evaluation_and_its_report_take_it_too(self):
        results = WORK / "sized.jsonl"
        arguments = ("eval", "-m", make_model("model"), "--lora", train("fixed", "image_size=280x280") / "adapter", "--data",
                     f"hops:{make_data()}", "--limit", 1, "-n", 2, "-t", 1, "-o", results)
        done = run(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("280x280", done.stderr)
        head, record = (json.loads(line) for line in results.read_text().splitlines())
        self.assertEqual((head["images"]["width"], head["images"]["height"]), (280, 280))
        self.assertEqual(record["image_tokens"], 100)
        self.assert_fails(run(*arguments, "--image-size", "112x112"), 1, "images")
        page = WORK / "sized.html"
        done = run("run", "-m", make_model("model"), "--lora", train("fixed") / "adapter", "--image", PICTURE, *QUESTION, "-n", 2,
                   "-t", 1, "--report", page)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(page.is_file())


class Messages(Case):
    def write(self, *parts, **more):
        path = WORK / "messages.json"
        path.write_text(json.dumps([{"role": "user", "content": [*parts, {"type": "text", "text": "What is it?"}], **more}]))
        return path

    def seen(self, part, *arguments):
        done = run("run", "-m", make_model("model"), "--messages", self.write(part), "-n", 2, "-t", 1, "--json", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["counts"]["image"], done.stderr

    def test_sizes_of_parts(self):
        for sizes, count in (({}, 6), ({"resized_height": 280, "resized_width": 280}, 100),
                             ({"resized_height": 140, "resized_width": 280}, 50), ({"min_pixels": 50176}, 77),
                             ({"min_pixels": 784, "max_pixels": 784}, 4), ({"min_pixels": 12544, "max_pixels": 12544}, 24)):
            self.assertEqual(self.seen({"type": "image", "image": PICTURE, **sizes})[0], count, sizes)

    def test_an_option_goes_before_parts_and_these_before_training(self):
        part = {"type": "image", "image": PICTURE, "resized_height": 140, "resized_width": 280}
        seen, errors = self.seen(part, "--image-size", "112x112")
        self.assertEqual(seen, 16)
        self.assertRegex(errors, r"(?m)^note +sizes of images are those of the options")
        adapter = train("fixed", "image_size=280x280") / "adapter"
        self.assertEqual(self.seen(part, "--lora", adapter)[0], 50)
        self.assertEqual(self.seen({"type": "image", "image": PICTURE}, "--lora", adapter)[0], 100)

    def test_places_of_pictures(self):
        with open(OTHER_PICTURE, "rb") as file:
            data = base64.b64encode(file.read()).decode()
        plain = self.seen({"type": "image", "image": OTHER_PICTURE})[0]
        for part in ({"image": OTHER_PICTURE}, {"type": "image", "image": "file://" + OTHER_PICTURE},
                     {"type": "image_url", "image_url": {"url": OTHER_PICTURE, "detail": "auto"}},
                     {"type": "image_url", "image_url": OTHER_PICTURE},
                     {"type": "image", "image": "data:image/png;base64," + data},  # the kind is in the bytes
                     {"type": "image_url", "image_url": {"url": "data:;base64," + data.rstrip("=")}}):
            self.assertEqual(self.seen(part)[0], plain, part)

    def test_what_is_not_read_is_refused_by_name(self):
        picture = {"type": "image", "image": PICTURE}
        for part, word in (({**picture, "min_pixel": 3136}, '"min_pixel"'), ({**picture, "crop": [0, 0]}, '"crop"'),
                           ({"type": "video", "video": "a.mp4"}, '"video"'), ({"video": "a.mp4"}, "videos are not read"),
                           ({"type": "text", "text": "a", "weight": 1}, '"weight"'), ({**picture, "text": "a"}, "part 1"),
                           ({"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}, '"detail"'),
                           ({"type": "image_url", "image_url": {"url": PICTURE, "size": 1}}, '"size"'),
                           ({"type": "image", "image": PICTURE, "image_url": OTHER_PICTURE}, 'both "image" and "image_url"'),
                           ({"type": "image", "image": "https://example.org/a.png"}, "network"),
                           ({"type": "image", "image": "data:image/png,abc"}, "base64"),
                           ({"type": "image", "image": "data:image/png;base64,a%b"}, "base64"),
                           ({"type": "image", "image": ""}, "part 1"), ("text", "part 1"), ({}, "part 1"),
                           ({**picture, "resized_height": 280}, '"resized_width"'),
                           ({**picture, "resized_height": 280, "resized_width": 280, "max_pixels": 3136}, '"max_pixels"'),
                           ({**picture, "min_pixels": 0}, '"min_pixels"'), ({**picture, "min_pixels": "3136"}, '"min_pixels"'),
                           ({**picture, "max_pixels": 1 << 62}, '"max_pixels"')):
            self.assert_fails(run("run", "-m", make_model("model"), "--messages", self.write(part)), 1, word)
        self.assert_fails(run("run", "-m", make_model("model"), "--messages", self.write(picture, name="a")), 1, '"name"')
        self.assert_fails(run("run", "-m", make_model("model"), "--messages", self.write(picture, tool_calls=[])), 1, "tool_calls")


if __name__ == "__main__":
    main()
