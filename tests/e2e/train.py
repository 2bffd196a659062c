#!/usr/bin/env python3
"""tenebra train from outside: a plan, a run, kills at random points that leave no trace in the result, errors."""
import hashlib
import json
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM, DATA = sys.argv[1], Path(sys.argv[2])
CONFIG = """\
shape: tiny
tokenizer: {tokenizer}
data: hops:{data}
method: ivt-lr
k_select: 2
epochs_per_stage: 1
max_latent_stage: 2
num_epochs: 3
uniform_prob: 0.2
batch_size_training: 2
gradient_accumulation_steps: 2
lr: !!float "1e-3"
max_samples: 20
val_samples: 3
val_tokens: 4
save_steps: 2
lr_scheduler_type: cosine
warmup_ratio: 0.2
reset_optimizer: True
"""


def run(*arguments, expect=0, **more):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, **more)
    if done.returncode != expect:
        raise AssertionError(f"{arguments}: exit code {done.returncode}, not {expect}\n{done.stdout}\n{done.stderr}")
    return done


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_log(folder):
    """The lines of the log without what depends on the clock."""
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in ("tokens_per_second", "mfu")} for row in rows]


def check_plan(config, folder):
    plan = json.loads(run("train", config, "-o", folder, "--plan", "--json").stdout)
    assert not folder.exists(), "a plan wrote something"
    assert plan["updates"] == 15 and plan["effective_batch"] == 4 and plan["updates_per_epoch"] == 5, plan
    assert [row["latents"] for row in plan["stages"]] == [0, 1, 2], plan
    assert plan["seconds"] > 0 and plan["memory"]["moments"] == 8 * plan["memory"]["trained_values"], plan
    late = run("train", config, "-o", folder, "--plan", "--set", "max_latent_stage=5").stdout
    assert "stage 2 is the last one reached" in late, late


def check_run(config, folder):
    summary = json.loads(run("train", config, "-o", folder, "--json").stdout)
    assert summary["finished"] and summary["updates"] == 15, summary
    for name in ("model/model.safetensors", "stage-0/config.json", "stage-2/tokenizer.json", "log.csv", "curves.html"):
        assert (folder / name).is_file(), name
    log = read_log(folder)
    losses = [row["loss"] for row in log if "loss" in row]
    assert len(losses) == 15 and losses[4] < losses[0], losses
    assert [row["stage"] for row in log if "validation_accuracy" in row] == [0, 1, 2], log
    checkpoints = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert checkpoints == ["update-00000014.safetensors", "update-00000015.safetensors"], checkpoints
    report = run("inspect", "-m", folder / "model").stdout
    assert report, "the result cannot be inspected"
    refused = run("train", config, "-o", folder, expect=2)
    assert "--resume" in refused.stderr, refused.stderr
    before = everything(folder)
    again = run("train", config, "-o", folder, "--resume")
    assert everything(folder) == before, "a finished run changed when it was resumed"
    assert f"15 of 15 updates, loss {losses[-1]:.4f}" in again.stdout, again.stdout


def everything(folder):
    return {path.relative_to(folder): digest(path) for path in folder.rglob("*") if path.is_file()}


def seal_of(data):
    """The digest that docs/formats.md describes, by Python's BLAKE2b."""
    size = struct.unpack("<Q", data[:8])[0]
    text = json.loads(data[8:8 + size])["__metadata__"]["tenebra.digest"]
    front, digits = text.split(":")
    assert front == "blake2b-256", text
    at = data.index(b'"tenebra.digest":"' + text.encode()) + len(b'"tenebra.digest":"') + len(front) + 1
    blank = data[:at] + b"0" * 64 + data[at + 64:]
    return digits, hashlib.blake2b(blank, digest_size=32).hexdigest()


def check_digests(folder):
    """Every file of a run carries its digest; --check finds a flipped bit, and so does --resume."""
    files = sorted(folder.rglob("*.safetensors"))
    assert len(files) >= 6, files
    for path in files:
        said, found = seal_of(path.read_bytes())
        assert said == found, path
    said = sorted(folder.rglob("training.json"))
    assert len(said) >= 2, said
    for path in said:
        data = path.read_bytes()
        digits = json.loads(data)["tenebra.digest"].split(":")[1]
        assert digits == hashlib.blake2b(data.replace(digits.encode(), b"0" * 64), digest_size=32).hexdigest(), path
    sound = run("inspect", "--check", folder).stdout
    assert f"{len(files) + len(said)} whole, 0 damaged, 0 of other" in sound, sound
    dice = random.Random(3)
    for path in (folder / "model/model.safetensors", folder / "checkpoints/update-00000015.safetensors"):
        whole = path.read_bytes()
        size = struct.unpack("<Q", whole[:8])[0]
        at = dice.randrange(8 + size, len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1:])
        wrong = run("inspect", "--check", folder, "--json", expect=1)
        assert [row["path"] for row in json.loads(wrong.stdout) if row["verdict"] == "damaged"] == [str(path)], wrong.stdout
        wrong = run("inspect", "--check", path, expect=1)
        assert "is damaged" in wrong.stdout, wrong.stdout
        if "checkpoints" in path.parts:
            wrong = run("train", folder.parent / "recipe.yaml", "-o", folder, "--resume", expect=1)
            assert "is damaged" in wrong.stderr, wrong.stderr
        else:
            wrong = run("quantize", folder / "model", "-o", folder.parent / "packed", "--type", "Q8_0", expect=1)
            assert "is damaged" in wrong.stderr and not (folder.parent / "packed").exists(), wrong.stderr
        path.write_bytes(whole)
    path = folder / "model/training.json"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"c_thought"', b'"c_thoughs"'))
    wrong = run("inspect", "--check", folder / "model", expect=1)
    assert "1 whole, 1 damaged" in wrong.stdout, wrong.stdout
    path.write_bytes(whole)


def check_two(config, folder):
    """The second of two trainings in a directory is refused and changes nothing."""
    first = subprocess.Popen([PROGRAM, "train", str(config), "-o", str(folder), "--set", "num_epochs=200"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    log = folder / "log.jsonl"
    while not log.is_file() or log.stat().st_size == 0:
        assert first.poll() is None, "the first one ended"
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)
    before = everything(folder)
    for way in ([], ["--resume"], ["--overwrite"]):
        wrong = run("train", config, "-o", folder, *way, expect=2)
        assert "another training is running" in wrong.stderr, wrong.stderr
        assert everything(folder) == before, "the second one changed something"
    first.kill()
    first.wait()
    run("train", config, "-o", folder, "--overwrite", "--set", "max_updates=1", "--set", "validate=false")


def count_lines(log):
    try:
        return log.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def wait_for_lines(process, log, count):
    """Waits until the log has `count` lines or the process has ended."""
    while process.poll() is None and count_lines(log) < count:
        time.sleep(0.001)


def kill_until_done(config, folder, dice, send):
    """Starts the run again and again, ending it somewhere after its next few lines of log, until it comes to its end."""
    kills, log = 0, folder / "log.jsonl"
    for _ in range(200):
        lines = count_lines(log)
        process = subprocess.Popen([PROGRAM, "train", str(config), "-o", str(folder), "--resume"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # Resuming may take lines back, so later attempts are given more of them and the test ends on any machine.
        wait_for_lines(process, log, lines + dice.randint(0, 3) + kills // 4)
        time.sleep(dice.uniform(0, 0.03))
        if process.poll() is None:
            process.send_signal(send)
        output, errors = process.communicate()
        if process.returncode == 0:
            return kills
        kills += 1
        if send == signal.SIGINT:
            assert process.returncode in (1, -send) and (process.returncode < 0 or "interrupted" in errors), errors
        else:
            assert process.returncode == -send, f"exit code {process.returncode} after {kills} kills\n{errors}"
    raise AssertionError("the run never came to its end")


def check_kills(config, straight, folder, seed, send):
    kills = kill_until_done(config, folder, random.Random(seed), send)
    assert kills > 0, "nothing was killed"
    assert digest(folder / "model/model.safetensors") == digest(straight / "model/model.safetensors"), "other weights"
    for stage in range(3):
        name = f"stage-{stage}/model.safetensors"
        assert digest(folder / name) == digest(straight / name), name
    assert read_log(folder) == read_log(straight), "another log"
    print(f"{send.name}: {kills} kills, the same bits")


def check_difference(config, straight, folder):
    """The control: another seed does not give the same bits."""
    run("train", config, "-o", folder, "--set", "seed=1", "--set", "validate=false")
    assert digest(folder / "model/model.safetensors") != digest(straight / "model/model.safetensors")


def check_accumulation(config, folder):
    """4 x 1 equals 1 x 4 up to rounding, although samples differ in length (the mean is over tokens)."""
    changes = ["--set", "validate=false", "--set", "max_updates=2", "--set", "save_steps=0"]
    logs = []
    for name, batch, more in (("wide", 4, 1), ("deep", 1, 4)):
        run("train", config, "-o", folder / name, *changes, "--set", f"batch_size_training={batch}",
            "--set", f"gradient_accumulation_steps={more}")
        logs.append([row for row in read_log(folder / name) if "loss" in row])
    for one, other in zip(*logs):
        assert abs(one["loss"] - other["loss"]) <= 1e-4 * one["loss"], (one, other)
        assert abs(one["grad_norm"] - other["grad_norm"]) <= 1e-3 * one["grad_norm"], (one, other)
    assert abs(logs[0][0]["loss"] - logs[0][1]["loss"]) > 1e-4 * logs[0][0]["loss"], "the control cannot tell losses apart"


def check_adapter(straight, data, folder):
    """LoRA with dropout: a run that was killed ends as one that was not, and the adapter answers."""
    changes = ["-m", straight / "model", "-d", f"hops:{data}", "--set", "method=coconut", "--set", "lora_rank=4",
               "--set", "lora_dropout=0.2", "--set", "num_epochs=2", "--set", "epochs_per_stage=1", "--set", "max_samples=16",
               "--set", "batch_size=2", "--set", "gradient_accumulation_steps=2", "--set", "validate=false", "--set", "save_steps=1",
               "--set", "latent_grad_full=true", "--set", "group_by_length=true"]
    run("train", *changes, "-o", folder / "whole")
    stopped = run("train", *changes, "-o", folder / "cut", "--set", "max_updates=3")
    assert "written" in stopped.stderr
    run("train", *changes, "-o", folder / "cut", "--resume")
    weights = "adapter/adapter_model.safetensors"
    assert digest(folder / "whole" / weights) == digest(folder / "cut" / weights), "other weights"
    run("train", *changes, "-o", folder / "free", "--set", "lora_dropout=0")
    assert digest(folder / "whole" / weights) != digest(folder / "free" / weights), "dropout changes nothing"
    picture = next((data / "data" / "images").glob("*.png"))
    damaged = folder / "cut" / weights
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    wrong = run("run", "-m", straight / "model", "--lora", damaged.parent, "-p", "What?", expect=1)
    assert "is damaged" in wrong.stderr, wrong.stderr
    above = run("run", "-m", straight / "model", "--lora", folder / "whole", "-p", "What?", expect=1)
    assert f"its adapter is {folder / 'whole'}/adapter" in above.stderr, above.stderr
    above = run("run", "-m", straight, "-p", "What?", expect=1)
    assert f"its model is {straight}/model" in above.stderr, above.stderr
    answer = run("run", "-m", straight / "model", "--lora", folder / "whole" / "adapter", "--image", picture, "-p", "What?",
                 "-n", 3, "--json").stdout
    assert json.loads(answer), answer


def tensors(path):
    """Names of a file's tensors and their bytes."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + size])
    return {name: data[8 + size + row["data_offsets"][0]:8 + size + row["data_offsets"][1]]
            for name, row in head.items() if name != "__metadata__"}


def check_fresh(config, straight, data, folder):
    """The weights that `fresh` names get random values, the others are kept; with init_std 0, a run starts from the values of
    its shape."""
    changes = ["-m", straight / "model", "-d", f"hops:{data}", "--set", "finetuning_type=full", "--set", "method=cot",
               "--set", "lr=0", "--set", "max_updates=1", "--set", "validate=false", "--set", "freeze_vision_tower=false"]
    run("train", *changes, "-o", folder / "same")
    run("train", *changes, "-o", folder / "fresh", "--set", "fresh=model.layers.0.*,model.norm.weight", "--set",
        "image_max_pixels=12544", "--set", "topics=arrows-1,arrows-2,arrows-3")
    rules = [json.loads((path / "model/preprocessor_config.json").read_text()) for path in (folder / "same", folder / "fresh")]
    assert rules[0] != rules[1] and rules[1] == {**rules[0], "max_pixels": 12544}, rules
    old, same, new = (tensors(path / "model/model.safetensors") for path in (straight, folder / "same", folder / "fresh"))
    assert same == old, "a rate of 0 changed something"
    changed = {name for name in old if old[name] != new[name]}
    assert "model.layers.0.self_attn.q_proj.weight" in changed and "model.norm.weight" in changed, changed
    assert all(name.startswith(("model.layers.0.", "model.norm.")) for name in changed), changed
    wrong = run("train", *changes, "-o", folder / "none", "--set", "fresh=model.layer.*", expect=2)
    assert "fresh" in wrong.stderr, wrong.stderr
    run("train", config, "-o", folder / "shape", "--set", "init_std=0", "--set", "lr=0", "--set", "max_updates=1",
        "--set", "validate=false", "--set", "trainable=visual.*")
    initial, started = (tensors(folder / "shape" / path / "model.safetensors") for path in ("initial", "model"))
    assert initial == started, "other values than those of the shape"


def check_mistakes(config, straight, data, folder):
    wrong = run("train", config, "-o", folder, "--set", "batch_sise=3", expect=2)
    assert "did you mean 'batch_size'" in wrong.stderr, wrong.stderr
    wrong = run("train", config, "-o", folder, "--set", "data=", expect=2)
    assert not folder.exists()
    changed = run("train", config, "-o", straight, "--resume", "--set", "lr=1", expect=1)
    assert "'lr:" in changed.stderr, changed.stderr
    pictures = sorted((data / "data" / "images").glob("*train*.png"))
    for picture in pictures:
        picture.write_bytes(b"no picture")
    before = sorted(path.name for path in (straight / "checkpoints").iterdir())
    longer = run("train", config, "-o", straight, "--resume", "--set", "num_epochs=4", expect=1)
    assert "'num_epochs: 3'" in longer.stderr and "lr_scheduler_type" in longer.stderr, longer.stderr
    broken = run("train", config, "-o", folder, expect=1)
    assert "sample '" in broken.stderr, broken.stderr
    assert sorted(path.name for path in (straight / "checkpoints").iterdir()) == before


def main():
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        run("data", "make", "hops", root / "hops", "--train", 24, "--dev", 4, "--test", 1)
        config = root / "recipe.yaml"
        config.write_text(CONFIG.format(tokenizer=DATA / "tokenizer-small", data=root / "hops"))
        check_plan(config, root / "plan")
        check_run(config, root / "straight")
        check_digests(root / "straight")
        check_two(config, root / "two")
        check_kills(config, root / "straight", root / "killed", 1, signal.SIGKILL)
        check_kills(config, root / "straight", root / "interrupted", 2, signal.SIGINT)
        check_difference(config, root / "straight", root / "other")
        check_accumulation(config, root)
        check_adapter(root / "straight", root / "hops", root / "lora")
        check_fresh(config, root / "straight", root / "hops", root / "afresh")
        check_mistakes(config, root / "straight", root / "hops", root / "none")
    print("train: all as expected")


if __name__ == "__main__":
    main()
