#!/usr/bin/env python3
"""Checks the rules of docs/design.md that a compiler does not check.

    tools/check_layers.py [ROOT]      checks ROOT/src and ROOT/examples (default: the repository)
    tools/check_layers.py --self-test every rule must flag a wrong snippet and pass a right one

Errors (exit code 1): an include that goes up or sideways; the name of a backbone, method, chat template or format
of files outside of its own file; printing or ending the process below app; a mutable variable with static storage
below app; app printing on stderr past tn_app_tell; above model, what an image encoder reads and the tokens around pictures; memory of a tensor, vector or weight followed above ops; a type name in _t; a
source file of more than 500 lines; a function of a header that fills an error and does not return its code; an example that includes more than the public header. Warnings: a function of more than 70 lines, a line of more than 140 characters.
"""
import re
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

LEVELS = {
    "base": 0, "kern": 1, "ops": 2, "store": 3, "text": 3, "image": 3, "data": 3, "model": 4, "reason": 5,
    "train": 6, "eval": 6, "verify": 7, "report": 7, "serve": 7, "app": 8,
}

# Folders in which one file adds one thing: the stems of their files are names.
PLUGINS = ("store/formats", "model/backbones", "model/encoders", "reason/methods", "text/templates", "data/sets", "eval/scorers")

# Names that are ordinary words: they count only as a whole string literal.
WORDS = {"direct", "hops", "strict", "bracket", "torch"}

# (files, name): golden cases call their quantities ivtlr.*; files of other trainers choose a method by keys of their own.
ALLOWED_NAMES = [("verify/*", "ivt_lr"),
                 ("train/keys.c", "ivt_lr"), ("train/keys.c", "cot"), ("train/keys.c", "direct"),
                 # An ablation is called after its method.
                 ("reason/methods/ivt_lr_words.c", "ivt_lr"),
                 # Scorers are called after the benchmark, and the method, whose program they repeat.
                 ("eval/scorers/ivtlr_*", "ivt_lr"), ("eval/scorers/ivtlr_*", "m3cot"),
                 ("eval/scorers/ivtlr_*", "scienceqa"), ("eval/scorers/sqa*", "scienceqa"),
                 ("eval/scorers/*sqa*", "sqa"), ("eval/scorers/bracket.c", "scaffold"), ("app/cmd_verify.c", "strict"), ("reason/methods/icot.c", "strict"),
                 # Checkpoints of training programs that are called after their methods.
                 ("model/wrapped.*", "ivt_lr"), ("model/wrapped.*", "coconut"),
                 # What is written, and the types that its list has.
                 ("store/writer.h", "safetensors"), ("store/seal.h", "safetensors"), ("store/type.*", "safetensors"),
                 # Wordings of prompts are called after the paper; the made set has several files.
                 ("data/*", "ivt_lr"), ("data/hops*", "hops"), ("app/data_make.c", "hops")]

# Options of methods outside of the methods' files: golden cases set them, and the benchmark has options of the same names.
ALLOWED_OPTIONS = ("verify/*", "app/cmd_bench.c")
METHOD_OPTION = re.compile(r'TN_SETTING_\w+\("([a-z]+(?:-[a-z]+)*)"')
# Names of one word count as a whole string literal, except these, which are also keys of files, columns or other options, ...
ORDINARY_OPTIONS = {"grid", "hidden", "images", "loss", "order", "passes", "pictures"}
# ... and these (files, name): words of questions, and tags of Markdown.
ALLOWED_ONE_WORD_OPTIONS = [("data/hops_wordings*", "every"), ("eval/score_plain.c", "mark")]

# What an image encoder reads of a picture, and the tokens that stand for pictures: the encoder, the backbone and the template know them.
PICTURE_WORD = re.compile(r"(?<![A-Za-z0-9])_?(?:image_token(?:_id)?|vision_(?:start|end)(?:_token(?:_id)?)?|(?:tn_|[a-z]+_)?patch(?:es)?"
                          r"(?:_[a-z]+)*|picture_(?:token|begin|end)|merge_size|spatial_merge(?:_size)?|grid_thw|mrope_section|tn_grid(?:_[a-z]+)*)(?![A-Za-z0-9_])"
                          r"|<\|(?:image|video|vision)_")
# Golden cases call their quantities so; a scorer repeats a program that cuts decoded prompts; keys that users know.
ALLOWED_PICTURE_WORDS = ("verify/*", "eval/scorers/ivtlr_*", "app/cmd_inspect.c", "reason/methods/icot.c")

FILE_LINES, FUNCTION_LINES, LINE_LENGTH = 500, 70, 140

FORBIDDEN_CALL = re.compile(
    r"(?<![\w.>])(exit|_exit|_Exit|quick_exit|abort|assert|raise|__builtin_trap|__builtin_abort|printf|vprintf|puts|putchar|perror|dprintf"
    r"|vdprintf|psignal|syslog|err|errx|warn|warnx)\s*\(")
# What writes to stderr without naming it.
STDERR_CALL = re.compile(r"(?<![\w.>])(?:v?dprintf|perror|psignal|warnx?|errx?)\s*\(")
# The arguments before stderr: a constant (as split_source leaves it), or a function that writes the program's own tables.
CONSTANT_ON_STDERR = re.compile(r'\bfput[cs]\s*\(\s*(?:\w+\s*\?\s*)?(?:""|0)(?:\s*:\s*"")?\s*,\s*$|\bprint_overview\s*\(\s*$'
                                r"|\btn_command_print_parts\s*\([^,]*,[^,]*$")
FORBIDDEN_STREAM = re.compile(r"\b(stdout|stderr)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)
TYPE_T = re.compile(r"\btypedef\b[^;{}]*?\b(\w+_t)\s*;|\}\s*(\w+_t)\s*;")
# A command line in a help text may show any name.
EXAMPLE = re.compile(r"\btenebra \w+ ")
# Memory that only operations follow: members of these types.
DEVICE_TYPE = re.compile(r"\btn_(?:tensor|vector|weight)\s+(?!\*\s*\))([^;{}]*)")
DEVICE_MEMBER = re.compile(r"(\.|->)?\b(\w+)(?:\[(?:[^][]|\[(?:[^][]|\[[^][]*\])*\])*\])?\s*(?:\.|->)\s*(?:data|grad)\b")
DEVICE_MACRO = re.compile(r"^[ \t]*#[ \t]*define\b(?:[^\n]*\\\n)*[^\n]*(?:\.|->)\s*(?:data|grad)\b", re.M)
DEVICE_RESULT = re.compile(r"\)\s*(?:\.|->)\s*(?:data|grad)\b")
DEVICE_MADE = re.compile(r"(?:\(tn_tensor\)|\btn_tensor\s+\w+\s*=)\s*\{(?!\s*0?\s*\})")
# A function that fills an error returns its code, and hands out what it makes through a parameter.
FAILING = re.compile(r"\b(\w+) ?\([^()]*(?<!const )\btenebra_error ?\*[^,]*\)(?: TN_PRINTF\([^()]*\))?$")
STRUCT = re.compile(r"\bstruct\s*\w*\s*\{([^{}]*)\}")
LEXEME = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text):
    """As many lines, no characters."""
    return " " + "\n" * text.count("\n")


def split_source(text):
    """The source without comments and literals, and the lists of comments and of strings with their lines."""
    comments, strings = [], []

    def replace(match):
        piece, line = match.group(), text.count("\n", 0, match.start()) + 1
        if piece.startswith("/"):
            for offset, part in enumerate(piece.split("\n")):
                comments.append((line + offset, part))
            return blank(piece)
        if piece[0] == '"':
            strings.append((line, piece[1:-1]))
            return '""'
        return "0"

    return LEXEME.sub(replace, text), comments, strings


def without_directives(code):
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda match: blank(match.group()), code, flags=re.M)


def declarations(code):
    """(line, text) of each declaration at file scope, with {} for every body; functions are left out.
    Also (first line, last line, body) of each function."""
    found, functions, depth, text, line, start, here = [], [], 0, "", 1, 1, 0
    for position, character in enumerate(code):
        if character == "\n":
            line += 1
        if depth == 0 and not text.strip():
            text, start = "", line
        if character == "{":
            if depth == 0:
                here = position
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0 and text.rstrip().endswith(")") and "=" not in text:
                functions.append((start, line, code[here:position]))
                text = ""
            elif depth == 0:
                text += "{}"
        elif depth == 0 and character == ";":
            found.append((start, " ".join(text.split())))
            text = ""
        elif depth == 0:
            text += character
    return found, functions


def device_names(text):
    """Names that are declared in `text` with a type whose memory only operations follow."""
    names = set()
    for match in DEVICE_TYPE.finditer(text):
        for part in re.sub(r"=[^,;]*", "", match.group(1)).split(","):
            found = re.match(r"[\s*]*(?:const\s+)?(\w+)", part)
            if found:
                names.add(found.group(1))
    return names


def is_mutable_variable(text):
    """Whether a declaration at file scope makes or names an object that can change."""
    text = re.sub(r"__attribute__\s*\(\(.*?\)\)|_Alignas\s*\([^)]*\)", " ", text).strip()
    if not text or re.match(r"(typedef|_Static_assert|static_assert)\b", text):
        return False
    left = text.split("=")[0]
    left = re.sub(r"\[[^\]]*\]", " ", left)
    pointer_to_function = re.search(r"^[^(]*\(\s*\*\s*(const\b)?", left)
    if pointer_to_function:
        return pointer_to_function.group(1) is None
    if "(" in left:
        return False  # a prototype, or a macro that declares
    if "=" not in text and re.fullmatch(r"(struct|union|enum)\s*\w*\s*(\{\})?", left.strip()):
        return False
    return re.search(r"\bconst\b", left.rsplit("*", 1)[-1]) is None


def is_mutable_local(text):
    """Whether a `static` declaration inside a function can change: same rule."""
    return is_mutable_variable(" ".join(text.split()))


class Checker:
    def __init__(self, root):
        self.root = Path(root)
        self.errors, self.warnings = [], []
        self.names = self.plugin_names()
        options = {name for path in (self.root / "src/reason/methods").glob("*.c")
                   for name in METHOD_OPTION.findall(path.read_text(encoding="utf-8"))}
        self.words = {name for name in options if "-" not in name} - ORDINARY_OPTIONS
        several = sorted(name for name in options if "-" in name)
        self.option = re.compile(r"(?<![\w-])(?:" + ("|".join(map(re.escape, several)) or "(?!)") + r")(?![\w-])")
        self.members = {name for path in (self.root / "src").rglob("*.[ch]") if path.name == "ops.h" or path.parent.name != "ops"
                        for body in STRUCT.findall(split_source(path.read_text(encoding="utf-8"))[0])
                        for name in device_names(body)}

    def plugin_names(self):
        """{pattern by name: files in which it may stand}"""
        owners = {}
        for folder in PLUGINS:
            for path in sorted((self.root / "src" / folder).glob("*.c")):
                owners.setdefault(path.stem, set()).add(f"{folder}/{path.name}")
        return owners

    def error(self, path, line, sentence):
        self.errors.append(f"{path}:{line}: {sentence}")

    def warn(self, path, line, sentence):
        self.warnings.append(f"{path}:{line}: warning: {sentence}")

    def run(self):
        for path in sorted((self.root / "src").rglob("*.[ch]")):
            self.check_file(path)
        for path in sorted((self.root / "src").rglob("*.js")):
            self.check_script(path)
        for path in sorted((self.root / "examples").rglob("*.[ch]")):
            self.check_example(path)
        return self

    def check_example(self, path):
        text = path.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            self.error(path.relative_to(self.root), text.count("\n", 0, match.start()) + 1,
                       f'an example uses the public header alone: <tenebra.h>, not "{match.group(1)}"')

    def check_file(self, path):
        inside = path.relative_to(self.root / "src").as_posix()
        shown = f"src/{inside}"
        layer = inside.split("/")[0]
        if "/" not in inside or layer not in LEVELS:
            self.error(shown, 1, "lies in no known layer; tools/check_layers.py lists them")
            return
        text = path.read_text(encoding="utf-8")
        code, comments, strings = split_source(text)
        self.check_includes(shown, layer, text)
        self.check_names(shown, inside, code, comments, strings)
        self.check_options(shown, inside, strings)
        self.check_picture_words(shown, inside, layer, code, strings)
        self.check_size(shown, text)
        plain = without_directives(code)
        found, functions = declarations(plain)
        for first, last, _ in functions:
            if last - first + 1 > FUNCTION_LINES:
                self.warn(shown, first, f"a function of {last - first + 1} lines")
        if LEVELS[layer] > LEVELS["ops"]:
            self.check_device(shown, code, functions)
        for match in TYPE_T.finditer(plain):
            self.error(shown, plain.count("\n", 0, match.start()) + 1,
                       f"names in _t belong to the system: {match.group(1) or match.group(2)}")
        if inside.endswith(".h"):
            self.check_failing(shown, found)
        if layer != "app":
            self.check_quiet(shown, code)
            self.check_variables(shown, found, functions)
        else:
            self.check_shown(shown, code)

    def check_includes(self, shown, layer, text):
        for match in INCLUDE.finditer(text):
            target, line = match.group(1), text.count("\n", 0, match.start()) + 1
            if target == "tenebra.h":
                continue
            other = target.split("/")[0]
            if "/" not in target or ".." in target or other not in LEVELS:
                self.error(shown, line, f'includes are written from src/, as "layer/file.h": "{target}"')
            elif not (self.root / "src" / target).is_file():
                self.error(shown, line, f'"{target}" does not exist')
            elif other != layer and LEVELS[other] >= LEVELS[layer]:
                way = "a sibling" if LEVELS[other] == LEVELS[layer] else "a higher layer"
                self.error(shown, line, f'{layer} (level {LEVELS[layer]}) includes "{target}" of {way}')

    def check_names(self, shown, inside, code, comments, strings):
        for stem, owners in self.names.items():
            if inside in owners or any(stem == name and fnmatch(inside, files) for files, name in ALLOWED_NAMES):
                continue
            spelling = re.compile(r"(?<![A-Za-z0-9-])" + re.sub("[_-]", "[-_ ]?", re.escape(stem).replace(r"\-", "-"))
                                  + r"(?![A-Za-z0-9])", re.I)
            hits = [line for line, text in strings
                    if (text.lower() == stem if stem in WORDS else spelling.search(text))
                    and not (inside.startswith("app/") and EXAMPLE.search(text))]
            if stem not in WORDS:
                hits += [code.count("\n", 0, match.start()) + 1 for match in spelling.finditer(code)]
                # A comment may cite the paper that something comes from.
                hits += [line for line, text in comments if spelling.search(text) and "arXiv:" not in text]
            for line in sorted(set(hits)):
                self.error(shown, line, f"names '{stem}', which only {' and '.join(sorted(owners))} may name")

    def check_options(self, shown, inside, strings):
        if inside.startswith("reason/methods/") or any(fnmatch(inside, files) for files in ALLOWED_OPTIONS):
            return
        for line, text in strings:
            word = text in self.words and not any(fnmatch(inside, files) and text == name for files, name in ALLOWED_ONE_WORD_OPTIONS)
            if word or (self.option.search(text) and not (inside.startswith("app/") and EXAMPLE.search(text))):
                self.error(shown, line, f"names '{text}', an option of a method; tn_option_that_means() finds it by its meaning")

    def check_picture_words(self, shown, inside, layer, code, strings):
        if LEVELS[layer] <= LEVELS["model"] or any(fnmatch(inside, files) for files in ALLOWED_PICTURE_WORDS):
            return
        hits = [code.count("\n", 0, match.start()) + 1 for match in PICTURE_WORD.finditer(code)]
        hits += [line for line, text in strings if PICTURE_WORD.search(text)]
        for line in sorted(set(hits)):
            self.error(shown, line, "says what an image encoder reads, or which token stands for a picture: only model knows that")

    def check_script(self, path):
        """A page takes names of options from its data."""
        for number, text in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            if self.option.search(text):
                self.error(path.relative_to(self.root), number, "names an option of a method; its data may say what it is called")

    def check_size(self, shown, text):
        lines = text.split("\n")
        if len(lines) - 1 > FILE_LINES and "_tables" not in shown:
            self.error(shown, 1, f"{len(lines) - 1} lines; at most {FILE_LINES}, so this is two files")
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_LENGTH:
                self.warn(shown, number, f"{len(line)} characters")

    def check_quiet(self, shown, code):
        for match in re.finditer(r"[=:?]\s*&?\s*(exit|_exit|abort|printf|puts|perror)\s*[;,):}]", code):
            self.error(shown, code.count("\n", 0, match.start()) + 1, f"takes the address of {match.group(1)}, which only app may call")
        for match in FORBIDDEN_CALL.finditer(code):
            self.error(shown, code.count("\n", 0, match.start()) + 1, f"only app may call {match.group(1)}()")
        for match in FORBIDDEN_STREAM.finditer(code):
            self.error(shown, code.count("\n", 0, match.start()) + 1, f"only app may use {match.group(1)}")

    def check_shown(self, shown, code):
        """What may hold text of others goes to stderr through tn_app_tell, which escapes it. Constants may be written to it."""
        if shown in ("src/app/visible.c", "src/app/progress.c"):
            return
        hits = [match.start() for match in STDERR_CALL.finditer(code)]
        for match in re.finditer(r"\bstderr\b", code):
            before = re.split(r"[;{}]", code[:match.start()])[-1]
            if not CONSTANT_ON_STDERR.search(before):
                hits.append(match.start())
        for line in sorted({code.count("\n", 0, hit) + 1 for hit in hits}):
            self.error(shown, line, "app prints on stderr through tn_app_tell()")

    def check_device(self, shown, code, functions):
        """Operations read and write what tensors hold; a device may have it elsewhere."""
        lines = code.split("\n")
        for match in DEVICE_MACRO.finditer(code):
            self.error(shown, code.count("\n", 0, match.start()) + 1, "a macro that follows memory; read and write it with operations (ops/ops.h)")
        for first, last, _ in functions:
            text = "\n".join(lines[first - 1:last])
            names = device_names(text)
            hits = [match for match in DEVICE_MEMBER.finditer(text) if match.group(2) in (self.members if match.group(1) else names)]
            hits += list(DEVICE_RESULT.finditer(text)) + list(DEVICE_MADE.finditer(text))
            for line in sorted({first + text.count("\n", 0, match.start()) for match in hits}):
                self.error(shown, line, "memory of a tensor, vector or weight; read and write it with operations (ops/ops.h)")

    def check_failing(self, shown, found):
        for line, text in found:
            match = FAILING.search(text)
            if match and not text.startswith(("typedef", "tenebra_code ", "TENEBRA_API tenebra_code ")):
                self.error(shown, line, f"{match.group(1)} takes a tenebra_error, so it returns a tenebra_code")

    def check_variables(self, shown, found, functions):
        for line, text in found:
            if is_mutable_variable(text):
                self.error(shown, line, f"a variable that can change, at file scope: {text[:60]}")
        for first, _, body in functions:
            for match in re.finditer(r"\bstatic\b([^;{]*)", body):
                if is_mutable_local(match.group(1)):
                    line = first + body.count("\n", 0, match.start())
                    self.error(shown, line, "a static variable that can change, in a function")


# ------------------------------------------------------------------ self-test

WRONG = [
    ("src/kern/a.c", '#include "ops/ops.h"\n', "higher layer"),
    ("src/text/a.c", '#include "image/image.h"\n', "sibling"),
    ("src/kern/a.c", '#include "status.h"\n', "written from src/"),
    ("src/eval/a.c", 'static const char *const name = "some-steps";\n', "an option of a method"),
    ("src/app/a.c", 'static const char *const help = "as some-steps=3 does";\n', "an option of a method"),
    ("src/eval/a.c", 'static const char *const name = "wobble";\n', "an option of a method"),
    ("src/data/a.c", 'static const char *const name = "every";\n', "an option of a method"),
    ("src/reason/a.c", "int f(const struct a *a)\n{\n    return a->image_token;\n}\n", "only model knows"),
    ("src/reason/a.c", "int f(const struct a *a)\n{\n    return a->config.picture_token;\n}\n", "only model knows"),
    ("src/train/a.c", "int f(const struct a *a)\n{\n    return a->config.patch_size * a->merge_size;\n}\n", "only model knows"),
    ("src/eval/a.c", 'static const char *const x = "<|vision_start|>";\n', "only model knows"),
    ("src/reason/a.c", "int f(const tn_patches *p);\n", "only model knows"),
    ("src/report/a.js", 'if (way["some-steps"] === 0) return;\n', "an option of a method"),
    ("src/kern/a.c", '#include "base/../ops/ops.h"\n', "written from src/"),
    ("src/kern/a.c", '#include "base/absent.h"\n', "does not exist"),
    ("src/extra/a.c", "int f(void);\n", "no known layer"),
    ("src/model/a.c", 'static const char *const x = "some-net-2b";\n', "names 'some_net'"),
    ("src/model/a.c", "/* as SOME_NET does */\n", "names 'some_net'"),
    ("src/model/a.c", "int tn_some_net_size(void);\n", "names 'some_net'"),
    ("src/app/a.c", 'static const char *name = "direct";\n', "names 'direct'"),
    ("src/model/a.c", 'static const char *const end = ".some-box";\n', "names 'some_box'"),
    ("src/reason/methods/other.c", "/* like some_way */\n", "names 'some_way'"),
    ("src/base/a.c", "void f(void)\n{\n    exit(1);\n}\n", "call exit()"),
    ("src/base/a.c", "void f(void)\n{\n    abort ();\n}\n", "call abort()"),
    ("src/base/a.c", 'void f(void)\n{\n    printf("x");\n}\n', "call printf()"),
    ("src/base/a.c", 'void f(void)\n{\n    fprintf(stderr, "x");\n}\n', "use stderr"),
    ("src/base/a.c", 'void f(void)\n{\n    fputs("x", stdout);\n}\n', "use stdout"),
    ("src/app/a.c", 'void f(void)\n{\n    fprintf(stderr, "x");\n}\n', "through tn_app_tell"),
    ("src/app/a.c", "void f(const char *t)\n{\n    fputs(t, stderr);\n}\n", "through tn_app_tell"),
    ("src/app/a.c", 'void f(const char *t)\n{\n    fputs(t ? t : "", stderr);\n}\n', "through tn_app_tell"),
    ("src/app/a.c", "void f(int c)\n{\n    fputc(c, stderr);\n}\n", "through tn_app_tell"),
    ("src/app/a.c", "void f(const char *t)\n{\n    FILE *out = stderr;\n    fputs(t, out);\n}\n", "through tn_app_tell"),
    ("src/app/a.c", "void f(const char *t, va_list list)\n{\n    vfprintf(stderr, t, list);\n}\n", "through tn_app_tell"),
    ("src/app/a.c", "void f(const char *t)\n{\n    perror(t);\n}\n", "through tn_app_tell"),
    ("src/app/a.c", 'void f(const char *t)\n{\n    dprintf(2, "%s", t);\n}\n', "through tn_app_tell"),
    ("src/base/a.c", "void f(void)\n{\n    raise(6);\n}\n", "call raise()"),
    ("src/base/a.c", "void f(void)\n{\n    __builtin_trap();\n}\n", "call __builtin_trap()"),
    ("src/base/a.c", 'void f(void)\n{\n    dprintf(2, "x");\n}\n', "call dprintf()"),
    ("src/base/a.c", "void f(void)\n{\n    void (*end)(int) = exit;\n    end(1);\n}\n", "takes the address of exit"),
    ("src/model/a.c", "float f(tn_tensor x, int n)\n{\n    return x.data[n];\n}\n", "with operations"),
    ("src/model/a.c", "bool f(void)\n{\n    tn_tensor x = g(1, 2), y = { 0 };\n    return y.grad != NULL;\n}\n", "with operations"),
    ("src/reason/a.c", "bool f(const tn_vector *bias)\n{\n    return bias->data;\n}\n", "with operations"),
    ("src/eval/a.c", "struct a {\n    tn_weight w[2];\n};\nbool f(struct a *a)\n{\n    return a->w[1].grad;\n}\n", "with operations"),
    ("src/app/a.c", "float f(void)\n{\n    return tn_op_new(1, 2).data[0];\n}\n", "with operations"),
    ("src/train/a.c", "tn_tensor f(float *values)\n{\n    return (tn_tensor){ 1, 2, values, 0 };\n}\n", "with operations"),
    ("src/reason/a.c", "float f(tn_tensor *x, int (*g)[3])\n{\n    return x[g[1][2]].data[0];\n}\n", "with operations"),
    ("src/reason/a.c", "#define VALUES(t) (t)->data\n", "with operations"),
    ("src/base/a.c", "static int counter;\n", "file scope"),
    ("src/base/a.c", "int counter = 3;\n", "file scope"),
    ("src/base/a.c", "extern int counter;\n", "file scope"),
    ("src/base/a.c", "static _Thread_local char buffer[3];\n", "file scope"),
    ("src/base/a.c", 'static const char *names[] = { "a", "b" };\n', "file scope"),
    ("src/base/a.c", "static void (*hook)(int);\n", "file scope"),
    ("src/base/a.c", "static struct { int a; } state;\n", "file scope"),
    ("src/base/a.c", "int f(void)\n{\n    static int calls;\n    return ++calls;\n}\n", "in a function"),
    ("src/base/a.c", "typedef unsigned long word_t;\n", "belong to the system"),
    ("src/base/a.c", "typedef struct { int a; } pair_t;\n", "belong to the system"),
    ("src/base/a.c", "int f(void);\n" * 521, "so this is two files"),
    ("src/model/a.h", "typedef struct a a;\na *tn_a_open(const char *path, tenebra_error *error);\n", "returns a tenebra_code"),
    ("src/model/a.h", "int tn_a_open(const char *path,\n              tenebra_error *error);\n", "returns a tenebra_code"),
    ("examples/a.c", '#include "base/status.h"\n', "public header alone"),
]

RIGHT = [
    ("src/kern/a.c", '#include "base/status.h"\n#include "kern/kernels.h"\n#include "tenebra.h"\n#include <stdio.h>\n'),
    ("src/app/a.c", 'void f(int n)\n{\n    fputc(0, stderr);\n    fputs("x", stderr);\n    fputs(n ? " " : "x", stderr);\n'
                    "    print_overview(stderr);\n}\n"),
    ("src/app/a.c", '#include "ops/ops.h"\nstatic int seen;\nint f(void)\n{\n    printf("direct answer");\n    return seen;\n}\n'),
    ("src/model/a.c", "/* Source: arXiv:2409.12191 (Some-Net). A direct way. */\nint tn_direct(void);\n"),
    ("src/model/backbones/some_net.c", '/* SOME-NET */\nstatic const char *const name = "some-net";\n'),
    ("src/base/a.c", 'static const int table[] = { 1, 2 };\nstatic const char *const names[] = { "a", "printf(" };\n'
                     "static void (*const hooks[])(int) = { 0 };\nextern const int other;\nstruct tag;\n"
                     "struct pair { int a, b; };\nenum { A, B };\ntypedef struct thing thing;\n"
                     "/* exit(1), stderr and static int x; */\n"
                     "static int f(void (*back)(int), char *text)\n{\n    static const int step = 2;\n"
                     "    struct pair p = { 1, 2 };\n    snprintf(text, 3, \"x\");\n    back(step);\n    return p.a;\n}\n"
                     "_Static_assert(sizeof(int) >= 4, \"size\");\n"
                     "#define MANY(x) \\\n    static int x\n"),
    ("src/model/a.h", "tenebra_code tn_a_open(const char *path, int *opened, tenebra_error *error);\nint tn_a_tell(const tenebra_error *error);\n"
                      "typedef bool tn_a_fn(void *user, tenebra_error *error);\n"),
    ("src/ops/a.c", "float f(tn_tensor x)\n{\n    return x.data[0];\n}\n"),
    ("src/model/a.c", "struct b {\n    tn_tensor x;\n    tn_file file;\n};\nint f(struct b *b, tn_file x, tn_matrix m)\n{\n"
                      "    tn_tensor y = { 0 };\n    return b->file.data + x.data + m.data + y.rows + g((tn_tensor){ 0 });\n}\n"),
    ("src/app/cmd_bench.c", 'static const char *const name = "some-steps";\n'),
    ("src/app/cmd_bench.c", 'static const char *const name = "wobble";\n'),
    ("src/eval/a.c", '/* "wobble" */\nstatic const char *const text[] = { "wobbles", "a wobble", "grid" };\n'),
    ("src/data/hops_wordings.c", 'static const char *const words[] = { "every" };\n'),
    ("src/reason/a.c", "/* patches of the tower */\nint image_tokens(int dispatch, int merge);\n"),
    ("src/model/a.c", "int f(const struct a *a)\n{\n    return a->patch_size;\n}\n"),
    ("src/app/a.c", 'static const char *const help = "  tenebra run -m some-net --method some-way";\n'),
    ("src/report/a.js", "if (way.steps === 0) return some-steps-more;\n"),
    ("examples/a.c", "#include <tenebra.h>\n"),
]


def findings(name, text):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = {"src/base/status.h": "", "src/kern/kernels.h": "", "src/ops/ops.h": "", "src/image/image.h": "",
                 "src/model/backbones/some_net.c": "",  "src/reason/methods/some_way.c": 'TN_SETTING_SIZE("some-steps", "N") '
                 'TN_SETTING_TEXT("wobble", "") TN_SETTING_SIZE("every", "N") TN_SETTING_CHOICE("grid", "a|b", "a")',
                 "src/reason/methods/direct.c": "", "src/store/formats/some_box.c": ""}
        files[name] = text
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content, encoding="utf-8")
        return Checker(root).run().errors


def self_test():
    failures = 0
    for name, text, expected in WRONG:
        errors = findings(name, text)
        if len(errors) != 1 or expected not in errors[0] or not errors[0].startswith(name + ":"):
            print(f"self-test: {name}: {text[:50]!r} should give one '{expected}', gave {errors}")
            failures += 1
    for name, text in RIGHT:
        errors = findings(name, text)
        if errors:
            print(f"self-test: {name}: should be right, gave {errors}")
            failures += 1
    print(f"check_layers self-test: {len(WRONG)} wrong and {len(RIGHT)} right snippets, {failures} misjudged")
    return 1 if failures else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    if len(arguments) > 1 or not (root / "src").is_dir():
        print(__doc__.strip(), file=sys.stderr)
        return 2
    checker = Checker(root).run()
    for line in checker.warnings + checker.errors:
        print(line)
    print(f"check_layers: {len(checker.errors)} errors, {len(checker.warnings)} warnings")
    return 1 if checker.errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
