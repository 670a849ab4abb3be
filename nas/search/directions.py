"""Whether a score is to be maximized or minimized, as far as its name says."""

from __future__ import annotations

import re
from itertools import pairwise

from nas.cost import INT8_ACCURACY, INT8_LATENCY, METRICS
from nas.evaluators.proxies.names import PROXY_NAMES
from nas.training.tasks.registry import TASKS

MAXIMIZE, MINIMIZE = "maximize", "minimize"


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EXACT = (
    dict.fromkeys((*METRICS, INT8_LATENCY), MINIMIZE)
    | dict.fromkeys(PROXY_NAMES, MAXIMIZE)
    | {INT8_ACCURACY: MAXIMIZE}
    | {
        score.on_val: MAXIMIZE if score.larger_is_better else MINIMIZE
        for task in TASKS.values()
        for score in task.scores
    }
)
"""Costs, and scores of training, which state their directions themselves."""

_MAXIMIZED = _listed(
    "accuracy acc precision recall sensitivity specificity f1 f2 fscore f1score fbeta auc auroc auprc rocauc prauc ap "
    "map tpr tnr truepositive truenegative averageprecision iou miou dice jaccard pq kappa mcc r2 rsquared likelihood "
    "loglikelihood psnr ssim bleu rouge ndcg mrr hit hits success reward fitness"
)
"""Words for what is to be maximized."""
_MINIMIZED = _listed(
    "loss error err mse rmse nrmse mae mape smape mase msle rmsle nll bce crossentropy xent perplexity ppl bpc bpb "
    "bpd bitsper wer cer eer ece fid lpips brier deviance divergence kld regret inaccuracy misclassification fpr fnr "
    "falsepositive falsenegative falsealarm falsediscovery negloglikelihood negativeloglikelihood ce kl kid ter crps "
    "aic bic cost risk penalty failure mistake residual"
)
"""Words for what is to be minimized."""
_PHRASES = (
    *("negative_log_likelihood", "neg_log_likelihood", "log_likelihood", "cross_entropy", "bits_per", "r_squared"),
    *(f"{truth}_{sign}" for truth in ("true", "false") for sign in ("positive", "negative", "alarm", "discovery")),
    *("average_precision", "roc_auc", "pr_auc", "f_score", "f1_score"),
)
"""Several words that mean something else together than alone."""
_NEUTRAL = _listed(
    "val valid validation test train training dev eval evaluation holdout mean avg average median min max best last "
    "final top macro micro weighted balanced total sum number num count overall all epoch epochs step ema cv fold run "
    "seed raw smoothed rate score percent percentage pct k l n s log relative normalized normalised class image pixel "
    "token char character word phoneme sentence sample batch node edge task binary multiclass multilabel categorical "
    "clean robust adversarial corrupted noisy day night standard cohen matthews expected cifar mnist fashion digits "
    "idx arrays hf imagenet svhn coco voc cityscapes ade kitti librispeech nasbench nats synthetic folder "
    "mnist1d series ucr uea cells mask masks own"
)
"""Words beside a score that leave its direction as it is: statistics, splits, data sets, conditions."""
_LOSS_KINDS = _listed(
    "squared square sq root absolute abs symmetric logarithmic cosh gamma poisson tweedie pinball quantile minkowski "
    "kl js ctc hinge focal triplet contrastive cosine huber smooth zero one logistic exponential ranking pairwise "
    "listwise calibration box bbox cls classification regression segmentation detection reconstruction distillation "
    "auxiliary aux generator discriminator perceptual style content policy value objectness mask rpn sparse empirical "
    "simple cumulative"
)
"""Words before what is to be minimized that say which loss or error it is, and leave it one."""
_ONLY_ALONE = _listed("hit hits")
"""Words that name a score only where no other does: an accuracy hit is a loss of it."""
_QUALIFIERS = {"at", "per", "of", "over"}
"""What comes after these says only where, or in what unit: `precision_at_10`, `loss_per_token`."""
_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def direction_of(name: str) -> str | None:
    """Return `maximize` or `minimize` for a score or a cost; None where its name does not say.

    The last word that names a score decides, as in English: `dice_loss` is a loss. Each other word must be in a list of
    those that leave the direction as it is (`val_top5_error_mean`), since another may reverse it, or name something
    else (`error_reduction`, `accuracy_deficit`, `lost_accuracy`, `seconds_to_accuracy`). Costs of `nas.cost.METRICS`
    are minimized, proxies maximized; `int8_accuracy`, `int8_latency_ms` and the scores of tasks are known by name too.
    """
    if name in _EXACT:
        return _EXACT[name]
    if re.match(r"\W*[\d.]*\s*-", name):  # -loss, 1-accuracy
        return None
    words, cut_at_of = _words(name)
    telling = [word for word in words if word not in _NEUTRAL and not word.isdigit()]
    if not telling:
        return MAXIMIZE if "score" in words and not cut_at_of else None
    *before, last = telling
    direction = _by_word(last)
    if direction == MINIMIZE:
        return MINIMIZE if all(_by_word(word) or word in _LOSS_KINDS for word in before) else None
    if before and _ONLY_ALONE.intersection(telling):
        return None
    return MAXIMIZE if direction and all(_by_word(word) == MAXIMIZE for word in before) else None


def _words(name: str) -> tuple[list[str], bool]:
    """Return the words of a name, up to one that begins a condition or a unit, and whether that was `of`."""
    words: list[str] = []
    for chunk in re.findall(r"[^\W_]+|@", name):
        whole = chunk.lower()
        plain = whole.rstrip("0123456789")
        listed = _MAXIMIZED | _MINIMIZED | _NEUTRAL | _LOSS_KINDS
        if whole == "@":
            words.append("at")
        elif whole in listed or plain in listed:
            words.append(whole if whole in listed else plain)
        else:
            words += [piece.lower() for piece in _PIECES.findall(chunk)] or [whole]
    text = f"_{'_'.join(words)}_"
    for phrase in _PHRASES:
        text = text.replace(f"_{phrase}_", f"_{phrase.replace('_', '')}_")
    words = text.strip("_").split("_")
    pairs = enumerate(pairwise(words), start=1)
    cut = next((index for index, (before, word) in pairs if word in _QUALIFIERS or before == "bitsper"), len(words))
    return words[:cut], words[cut : cut + 1] == ["of"]


def _by_word(word: str) -> str | None:
    """Return the direction of the score that a word names; None where it names none."""
    for singular in (word, word.removesuffix("s")):
        if singular in _MINIMIZED:
            return MINIMIZE
        if singular in _MAXIMIZED:
            return MAXIMIZE
    for ending in ("loss", "error", "accuracy"):  # `logloss`, `valaccuracy`
        before = word.removesuffix(ending)
        if before != word and before in _NEUTRAL | (_LOSS_KINDS if ending != "accuracy" else set()):
            return _by_word(ending)
    return None
