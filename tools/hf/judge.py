"""Comparisons. Every bound is written so that NaN fails."""
import math
from dataclasses import dataclass, field

import torch

# Where both sides compute in float32 and only the order of sums differs: attention scores, norms, probabilities.
# Measured differences are some 1e-6 (docs/golden.md); attention focus divides by an entropy, hence is looser.
BOUND, FOCUS_BOUND = 1e-4, 1e-3
# Relative: a probability differs by what its logit differs by, and logits here span some 30 units.
LENS_BOUND = 5e-4
# A choice whose alternatives are nearer than this is one that rounding may decide.
TOKEN_GAP, PICK_GAP = 1e-3, 1e-4


@dataclass
class Verdict:
    """One group of comparisons."""
    name: str
    cases: int = 0
    tokens: int = 0
    steps: int = 0
    picks: int = 0
    close_calls: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    largest: dict = field(default_factory=dict)
    least_gap: float = math.inf

    def bound(self, what, difference, bound, where):
        if not difference <= self.largest.get(what, (0.0, ""))[0]:
            self.largest[what] = (difference, where)
        if not difference <= bound:
            self.failures.append(f"{where}: {what} differs by {difference:.2e}, bound {bound:.0e}")

    def equal(self, what, ours, theirs, where):
        if ours != theirs:
            self.failures.append(f"{where}: {what}: ours {ours!r:.200}, theirs {theirs!r:.200}")

    def summary(self):
        words = [f"{self.cases} cases"]
        words += [f"{self.tokens} tokens"] if self.tokens else []
        words += [f"{self.steps} steps, {self.picks} picks"] if self.steps else []
        words += [f"{len(self.close_calls)} close calls"] if self.close_calls else []
        words += [f"{what} {value:.1e}" for what, (value, _) in sorted(self.largest.items())]
        words += [f"least logit gap {self.least_gap:.1e}"] if self.least_gap < math.inf else []
        return f"{'FAILED' if self.failures else 'ok':6} {self.name}: " + ", ".join(words)


def relative(ours, theirs, floor=0.0):
    """Largest |ours - theirs| over the larger of |theirs| and `floor`."""
    ours, theirs = torch.as_tensor(ours, dtype=torch.float64), torch.as_tensor(theirs, dtype=torch.float64)
    if ours.shape != theirs.shape:
        return math.inf
    if ours.numel() == 0:
        return 0.0
    worst = ((ours - theirs).abs() / theirs.abs().clamp(min=max(floor, 1e-300))).max()
    return math.inf if math.isnan(worst) else float(worst)


def tokens(verdict, ours, theirs, gaps, where):
    """Greedy tokens must be equal, up to a place where the reference itself hardly prefers its token."""
    verdict.tokens += len(theirs)
    for place, token in enumerate(theirs):
        if place < len(ours) and ours[place] == token:
            verdict.least_gap = min(verdict.least_gap, gaps[place])
            continue
        sentence = f"{where}: token {place}: ours {ours[place:place + 1]}, theirs {token}, logit gap {gaps[place]:.2e}"
        (verdict.close_calls if gaps[place] < TOKEN_GAP else verdict.failures).append(sentence)
        return False
    if len(ours) != len(theirs):
        verdict.failures.append(f"{where}: {len(ours)} tokens, theirs {len(theirs)}")
    return len(ours) == len(theirs)


def nearest(scores, used, settings):
    """The smallest relative distance between two scores that the choice or the order of picks depends on."""
    fresh = sorted((float(score) for j, score in enumerate(scores) if j not in used), reverse=True)
    if settings.latent_picks == "lowest":
        fresh.reverse()
    last = settings.k_select + 1 if settings.pick_order == "desc" or settings.latent_picks == "lowest" else 0
    begin = 0 if last else max(0, settings.k_select - 2)
    pairs = list(zip(fresh[begin:], fresh[begin + 1:]))[:settings.k_select + 1 - begin]
    return min((abs(a - b) / max(abs(a), abs(b)) for a, b in pairs), default=math.inf)


def step(verdict, ours, theirs, settings, where):
    """One latent step: `ours` of the trace's JSON. False: a close call, after which nothing can be compared."""
    verdict.steps += 1
    verdict.picks += len(theirs.picks)
    picks = [pick["candidate"] for pick in ours["picks"]]
    if picks != theirs.picks:
        gap = nearest(theirs.scores, theirs.used, settings)
        sentence = f"{where}: picks: ours {picks}, theirs {theirs.picks}, nearest scores {gap:.2e}"
        (verdict.close_calls if gap < PICK_GAP else verdict.failures).append(sentence)
        return False
    scores = [pick["score"] for pick in ours["picks"]]
    verdict.bound("score", relative(scores, [float(theirs.scores[j]) for j in theirs.picks]), BOUND, where)
    verdict.bound("norm", relative(ours["hidden_norm"], theirs.fed.double().norm()), BOUND, where)
    for name, value, bound in (("attention_ratio", theirs.ratio, BOUND),
                               ("attention_focus", theirs.focus, FOCUS_BOUND)):
        if math.isnan(value) or ours[name] is None:
            verdict.equal(name + " absent", ours[name] is None, math.isnan(value), where)
        else:
            verdict.bound(name[10:], relative(ours[name], value), bound, where)
    lens(verdict, ours["lens"], theirs.lens, where)
    return True


def lens(verdict, ours, probabilities, where):
    """Tokens in falling probability; two of nearly the same may stand in either order."""
    best = probabilities.topk(len(ours))
    for place, entry in enumerate(ours):
        token, theirs = entry["token"], int(best.indices[place])
        verdict.bound("lens", relative(entry["probability"], float(probabilities[token])), LENS_BOUND, where)
        gap = relative(float(probabilities[token]), float(best.values[place]))
        if token != theirs and not gap <= LENS_BOUND:
            verdict.failures.append(f"{where}: lens token {place}: ours {token}, theirs {theirs}")
