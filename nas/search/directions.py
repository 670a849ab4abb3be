"""Whether a score is better large or small, as far as its name says."""

from __future__ import annotations

import re

from nas.cost import METRICS
from nas.proxies.names import PROXY_NAMES

MAXIMIZE, MINIMIZE = "maximize", "minimize"


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EXACT = dict.fromkeys(METRICS, MINIMIZE) | dict.fromkeys(PROXY_NAMES, MAXIMIZE)

_LARGE = _listed(
    "accuracy acc precision recall sensitivity specificity f1 f2 fscore f1score fbeta auc auroc auprc rocauc prauc ap "
    "map tpr tnr truepositive truenegative averageprecision iou miou dice jaccard pq kappa mcc r2 rsquared likelihood "
    "loglikelihood psnr ssim bleu rouge ndcg mrr hit hits success reward fitness"
)
"""Words for what is better large."""
_SMALL = _listed(
    "loss error err mse rmse nrmse mae mape smape mase msle rmsle nll bce crossentropy xent perplexity ppl bpc bpb bpd "
    "bitsper wer cer eer ece fid lpips brier deviance divergence kld regret inaccuracy misclassification fpr fnr "
    "falsepositive falsenegative falsealarm falsediscovery negloglikelihood negativeloglikelihood"
)
"""Words for what is better small, whatever comes after them."""
_SMALL_AT_END = _SMALL | _listed("ce kl kid ter crps aic bic cost risk penalty failure mistake residual")
"""Words for what is better small, where they are the last ones that mean something."""
_PHRASES = (
    *("negative_log_likelihood", "neg_log_likelihood", "log_likelihood", "cross_entropy", "bits_per", "r_squared"),
    *(f"{truth}_{sign}" for truth in ("true", "false") for sign in ("positive", "negative", "alarm", "discovery")),
    *("average_precision", "roc_auc", "pr_auc", "f_score", "f1_score"),
)
"""Several words that mean something else than each of them."""
_EVEN = _listed(
    "val valid validation test train training dev eval evaluation holdout mean avg average median min max best last "
    "final top macro micro weighted total overall all epoch epochs step ema cv fold run seed raw smoothed rate score "
    "percent pct k n s"
)
"""Words beside a score that leave its direction as it is."""
_TURNING = _listed(
    "neg negative minus inv inverse reciprocal complement non not no anti gap drop gain reduction improvement increase "
    "decrease delta diff difference change ratio std sd var variance spread slope free tolerance margin threshold "
    "budget weight correlation vs versus d2"
)
"""Words that may turn a direction round, or make another thing of a score."""
_CUT = {"at", "per", "of", "over"}
"""What comes after these only says where, or by what unit: `precision_at_10`, `loss_per_token`."""
_ENDINGS = ("accuracy", "loss", "error")
_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def direction_of(name: str) -> str | None:
    """Return `maximize` or `minimize` for a score or a cost; None where its name does not say.

    The last word that means something decides, as in English: `dice_loss` is a loss. What is like an accuracy or an
    error is so with anything before and behind it (`val_top5_error_mean`), unless a word there may turn it round
    (`error_reduction`, `accuracy_gap`, `neg_mse`). Costs of `nas.cost.METRICS` are minimized, proxies maximized.
    """
    if name in _EXACT:
        return _EXACT[name]
    if re.match(r"\W*[\d.]*\s*-", name):  # -loss, 1-accuracy
        return None
    words = _words(name)
    if _TURNING.intersection(words):
        return None
    telling = [word for word in words if word not in _EVEN and not word.isdigit()]
    if not telling:
        return MAXIMIZE if "score" in words else None
    direction = _by_word(telling[-1], _SMALL_AT_END)
    if direction is not None:
        return direction
    # What comes last means nothing here: a clear word before it decides, unless there are some for either.
    before = {_by_word(word, _SMALL) for word in telling if word.endswith(_ENDINGS) or word in _SMALL} - {None}
    return before.pop() if len(before) == 1 else None


def _words(name: str) -> list[str]:
    """Return the words of a name, up to one that begins a condition or a unit."""
    found: list[str] = []
    for chunk in re.findall(r"[^\W_]+|@", name):
        whole = chunk.lower()
        plain = whole.rstrip("0123456789")
        known = _LARGE | _SMALL_AT_END | _EVEN | _TURNING
        if whole == "@":
            found.append("at")
        elif whole in known or plain in known:
            found.append(whole if whole in known else plain)
        else:
            found += [piece.lower() for piece in _PIECES.findall(chunk)] or [whole]
    text = f"_{'_'.join(found)}_"
    for phrase in _PHRASES:
        text = text.replace(f"_{phrase}_", f"_{phrase.replace('_', '')}_")
    found = text.strip("_").split("_")
    cut = next((place for place, word in enumerate(found) if place and word in _CUT), len(found))
    return found[:cut]


def _by_word(word: str, small: frozenset[str]) -> str | None:
    singular = word.removesuffix("s")
    for one in (word, singular):
        if one in small:
            return MINIMIZE
        if one in _LARGE:
            return MAXIMIZE
    if word.endswith(("loss", "error")):
        return MINIMIZE
    return MAXIMIZE if word.endswith("accuracy") else None
