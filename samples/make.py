#!/usr/bin/env python3
"""Makes poems.jsonl from a checkout of https://github.com/chinese-poetry/chinese-poetry:

    pip install opencc-python-reimplemented
    python3 make.py CHECKOUT > poems.jsonl

A poem a line, its verses joined, all in simplified characters. Poems with marks of lost characters
or notes of editors are left out, and doubles. The order is that of hashes, so that every part of
the file is a fair sample of the whole.
"""

import hashlib
import json
import pathlib
import re
import sys

import opencc

SIMPLIFIED = [
    "水墨唐诗/shuimotangshi.json",
    "诗经/shijing.json",
    "曹操诗集/caocao.json",
    "纳兰性德/纳兰性德诗集.json",
    "五代诗词/nantang/poetrys.json",
    *(f"五代诗词/huajianji/huajianji-{i}-juan.json" for i in [*range(1, 10), "x"]),
    "宋词/宋词三百首.json",
    *(f"宋词/ci.song.{i}.json" for i in (0, 1000, 2000)),
]
TRADITIONAL = [
    "蒙学/tangshisanbaishou.json",
    *(f"全唐诗/poet.tang.{i}.json" for i in (1000, 2000, 3000)),
]

# Ideographs and punctuation of the text itself; anything else is an editor's or an error.
TEXT = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff，。！？；：、“”‘’《》·—…]+")


def poems(value):
    """The poems in a file's value: lists of verses, under names that differ from file to file."""
    if isinstance(value, dict):
        value = value.get("paragraphs") or value.get("content") or value["para"]
        if isinstance(value[0], str):
            yield "".join(value)
            return
    for item in value:
        yield from poems(item)


def main():
    def read(files):
        for file in files:
            yield from poems(json.loads(pathlib.Path(sys.argv[1], file).read_text("utf-8")))

    simplify = opencc.OpenCC("t2s").convert
    texts = set(read(SIMPLIFIED)) | set(map(simplify, read(TRADITIONAL)))
    for text in sorted(texts, key=lambda t: hashlib.sha256(t.encode()).digest()):
        if TEXT.fullmatch(text):
            print(json.dumps({"content": text}, ensure_ascii=False))


main()
