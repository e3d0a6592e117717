"""What the page says, in its languages."""

from typing import Any

STEPS = {
    "en": {"rows": ("row", "rows"), "columns": ("column", "columns")},
    "zh": {"rows": ("行", "行"), "columns": ("列", "列")},
}
MEMORY = {
    "en": {"lstm": "cell state c", "rnn": "state s"},
    "zh": {"lstm": "细胞状态 c", "rnn": "状态 s"},
}
# {} stands for what the page fills in: a number, a digit and its percentage.
WORDS = {
    "en": {
        "title": "{cell} reads your digit",
        "intro": "A picture as a sequence: the network gets one {step} of 28 pixels at a time. "
        "Draw a digit and see what it says, and what it remembers, after each {step}.",
        "drawing": "Drawing",
        "paper": "Paper to draw a digit on, with mouse or finger",
        "clear": "Clear",
        "undo": "Undo",
        "example": "Example",
        "file": "Open a picture…",
        "reading": "Reading",
        "steps": "{Steps}",
        "steps_map": "The drawing as the network sees it, 28 {steps} of 28 pixels",
        "probabilities": "Probabilities",
        "probabilities_map": "Heat map: the probability of each digit after each {step}",
        "memory": "Memory",
        "memory_map": "Heat map: each unit's state after each {step}",
        "read": "{} {steps} read",
        "explained": "Each line of the pictures above is one {step}. Memory is the {units} units' "
        "{memory}: one line for each time step, one column for each unit.",
        "draw": "Draw a digit.",
        "wait": "Reading…",
        "after_one": "After {} {step}: {}, {}",
        "after": "After {} {steps}: {}, {}",
        "silent": "The server does not answer: start it again.",
        "slow": "The server has not answered for 30 s: draw again to ask again.",
        "unreadable": "This browser cannot open the picture: save it as PNG or JPEG.",
        "several figures": "There seems to be more than one figure here: draw one digit.",
        "unclear strokes": "Hardly any strokes stand out here: the answer is a guess.",
        "unlike MNIST": "This is unlike the digits that the network was trained on: the answer is "
        "a guess.",
        "other": "中文",
    },
    "zh": {
        "title": "{cell} 读你写的数字",
        "intro": "把图片当作序列：网络每次读入一{step} 28 个像素。"
        "写一个数字，看看每读一{step}之后网络的判断和它记住的内容。",
        "drawing": "手写区",
        "paper": "用鼠标或手指在这里写一个数字",
        "clear": "清除",
        "undo": "撤销",
        "example": "示例",
        "file": "打开图片…",
        "reading": "读取过程",
        "steps": "{Steps}",
        "steps_map": "网络看到的图，28 {steps}，每{step} 28 个像素",
        "probabilities": "概率",
        "probabilities_map": "热图：每读一{step}之后各个数字的概率",
        "memory": "记忆",
        "memory_map": "热图：每读一{step}之后各个单元的状态",
        "read": "已读 {} {steps}",
        "explained": "上面每张图的一横条对应一{step}。"
        "“记忆”是 {units} 个单元的{memory}：一横条是一个时间步，一竖条是一个单元。",
        "draw": "请写一个数字。",
        "wait": "正在读取…",
        "after_one": "读完 {} {step}：{}，{}",
        "after": "读完 {} {steps}：{}，{}",
        "silent": "服务器没有响应，请重新启动它。",
        "slow": "服务器 30 秒没有回应，再画一笔即可重试。",
        "unreadable": "浏览器打不开这张图片，请另存为 PNG 或 JPEG。",
        "several figures": "这里似乎不止一个数字，请只写一个。",
        "unclear strokes": "这里几乎看不出清晰的笔画，结果只是猜测。",
        "unlike MNIST": "这与网络训练时见过的数字不像，结果只是猜测。",
        "other": "English",
    },
}


def of(language: str, scan: str, cell: str, units: int) -> dict[str, Any]:
    """Return the page's words in a language, for a network with this scan, cell and units."""
    step, steps = STEPS[language][scan]
    names = (
        {"lstm": "An LSTM", "rnn": "An RNN"} if language == "en" else {"lstm": "LSTM", "rnn": "RNN"}
    )
    places = {
        "{cell}": names[cell],
        "{step}": step,
        "{steps}": steps,
        "{Steps}": steps.capitalize(),
        "{units}": str(units),
        "{memory}": MEMORY[language][cell],
    }

    def filled(text: str) -> str:
        for place, word in places.items():
            text = text.replace(place, word)
        return text

    return {name: filled(text) for name, text in WORDS[language].items()}
