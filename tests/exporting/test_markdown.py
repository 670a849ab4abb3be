"""What strangers call things stands in card.md as words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.exporting.markdown import markdown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ankle boot, T-shirt/top (small)", "ankle boot, T-shirt/top (small)"),
        ("snake_case_name 中 é", "snake_case_name 中 é"),
        ("[0.5, 0.25]", "[0.5, 0.25]"),
        ("a\n\n## Accuracy\n\n- 100 %", r"a\\n\\n\#\# Accuracy\\n\\n- 100 %"),
        ("<script>alert(1)</script> & co", "&lt;script&gt;alert(1)&lt;/script&gt; &amp; co"),
        ("[here](javascript:x) ![a][b]", r"[here\](javascript:x) ![a\][b]"),
        ("`code` *bold* _it_ | ~~no~~", r"\`code\` \*bold\* \_it\_ \| \~\~no\~\~"),
        ("- item", r"\- item"),
        ("---", r"\---"),
        ("a\x1b[31m\u202eb\ud800", r"a\\x1b[31m\\u202eb\\ud800"),
    ],
)
def test_words_stay_and_marks_are_shown(text: str, expected: str) -> None:
    assert markdown(text) == expected


@given(st.text())
def test_any_text_is_one_line_that_can_be_written(text: str) -> None:
    found = markdown(text)
    assert found.encode().decode().isprintable()
    assert not {"<", ">"} & {*found}
