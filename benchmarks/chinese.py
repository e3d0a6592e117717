"""The words of the tables in Chinese."""

import re

# Cells, or what comes before a comma in them. Others stay as they are.
WORDS = {
    "runs": "运行",
    "at the end: median (range)": "结束时：中位数（范围）",
    "highest on the way": "途中最高",
    "end at 98.27 or above": "结束时不低于 98.27",
    "collapsed": "崩溃",
    "recorded original": "原脚本的记录",
    "final: mean": "最后：均值",
    "mean": "均值",
    "sd": "标准差",
    "median": "中位数",
    "min": "最低",
    "max": "最高",
    "highest": "途中最高",
    "collapsed (95 %)": "崩溃（95 %）",
    "verdict": "结论",
    "arithmetic": "算术",
    "diverged": "发散",
    "mean of epochs 3 to 12: mean": "epoch 3 至 12 的均值：均值",
    "mean of epochs 3 to 12, points (95 %)": "epoch 3 至 12 的均值，百分点（95 %）",
    "fell (95 %)": "跌落（95 %）",
    "runs minus recorded": "运行减记录",
    "change minus `original`": "改动减 `original`",
    "share that falls (95 %)": "跌落的比例（95 %）",
    "ends above (95 %)": "结束时更高的概率（95 %）",
    "departs from the plan": "与计划不符之处",
    "none": "无",
    "below 1e-4": "低于 1e-4",
    "share (95 %)": "比例（95 %）",
    "train from 98.41 to 98.61 and test from 98.00 to 98.51": (
        "训练 98.41 至 98.61 且测试 98.00 至 98.51"
    ),
    "train at 98.51 or above": "训练不低于 98.51",
    "test at 98.27 or above": "测试不低于 98.27",
    "after some epoch": "某个 epoch 之后如此",
    "both": "两者",
    "studies": "研究数",
    "sign test, larger": "符号检验，更大者",
    "fallen by 30 (95 %)": "到 30 为止跌落（95 %）",
    "fallen by 60 (95 %)": "到 60 为止跌落（95 %）",
    "fallen by 90 (95 %)": "到 90 为止跌落（95 %）",
    "early mean, points": "前期均值，百分点",
    "share that falls": "跌落的比例",
    "no runs yet": "尚无运行",
    "first falls": "首次跌落的 epoch",
    "pair": "一对",
    "fell": "跌落",
    "difference of the shares (95 %)": "比例之差（95 %）",
    "p (log-rank)": "p（log-rank）",
    "p by Holm": "p（Holm）",
    "run": "运行",
    "fell in epoch": "跌落于 epoch",
    "gain before": "此前的增益",
    "median of those standing": "仍未跌落者的中位数",
    "network": "网络",
    "parameters": "参数",
    "`stable`: mean": "`stable`：均值",
    "`original`: mean": "`original`：均值",
    "seconds per epoch": "每个 epoch 的秒数",
    "learning rate": "学习率",
    "blank rows: 0": "空白行：0",
    "simple RNN": "简单 RNN",
    "gates": "门",
    "fit s": "训练 s",
    "evaluate s": "评估 s",
    "ours ÷ it": "我们 ÷ 它",
    "epoch ÷ floor": "epoch ÷ 下限",
    "this project": "本项目",
    "stock Keras": "原版 Keras",
    "floor: products alone": "下限：只有矩阵乘法",
    "at TensorFlow's rate": "按 TensorFlow 的速率",
    "at PyTorch's rate": "按 PyTorch 的速率",
    "recipe": "配方",
    "epochs": "epoch 数",
    "reached": "达到",
    "seconds: median (range)": "秒：中位数（范围）",
    "test accuracy %": "测试准确率 %",
    "stage": "阶段",
    "ms (median, range)": "ms（中位数，范围）",
    "matrix products alone": "只有矩阵乘法",
    "layer, forward": "层，前向",
    "layer, forward and backward": "层，前向和反向",
    "network, with loss": "网络，含损失",
    "with Adam": "含 Adam",
    "Keras' loop, on one batch": "Keras 的循环，始终用同一批",
    "whole step, with tf.data's input": "整步，由 tf.data 输入",
}
BETWEEN = {"of": " / ", "to": " 至 "}


def table(markdown: str) -> str:
    """Return a table in Markdown with the words in Chinese."""
    return re.sub(r"(?<=\| )[^|\n]+(?= \|)", lambda cell: _cell(cell[0]), markdown)


def _cell(cell: str) -> str:
    whole = WORDS.get(cell) or ", ".join(WORDS.get(part, part) for part in cell.split(", "))
    return re.sub(r"(?<=[\d%]) (of|to) (?=[-+\d])", lambda word: BETWEEN[word[1]], whole)
