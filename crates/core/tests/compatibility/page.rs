//! The cases as a page.

use serde_json::Value;

use crate::case::{Answered, Asked, Dialect, Outcome, Words};

const TITLE: Words = [
    "# Compatibility\n\n[中文](compatibility.zh-CN.md)\n\nWhat becomes of every field. The tables are written from tests: each line is a case that is tried, for the model that it names (where it names none, for `gemini-3.5-flash`).\n\n- *taken*: goes to Gemini as it is\n- *mapped*: is said to Gemini in its own words\n- *of the answer*: says in which form the answer comes; Gemini is told the same without it\n- *ignored*: accepted, and without effect\n- *refused*: answered with 400 and the field's name\n\nWhat is struck through is not there.\n\nA field that is not listed is ignored. A value of the wrong type is refused.\n",
    "# 兼容性\n\n[English](compatibility.md)\n\n每个字段如何处理。表格由测试生成：每一行都是实际验证过的用例，针对其中注明的模型（未注明时为 `gemini-3.5-flash`）。\n\n- *直接采用*：原样发给 Gemini\n- *转换*：用 Gemini 自己的方式表达\n- *用于响应*：决定响应的形式，发给 Gemini 的内容不变\n- *忽略*：接受，但没有效果\n- *拒绝*：返回 400，并指出字段名\n\n带删除线的表示不会出现。\n\n未列出的字段会被忽略；类型不对的值会被拒绝。\n",
];

/// The page in a language: 0 is English, 1 Chinese.
pub(crate) fn page(dialects: &[Dialect], language: usize) -> String {
    let mut page = TITLE[language].to_owned();
    for dialect in dialects {
        page.push_str(&format!("\n## {}\n\n{}\n", dialect.title[language], dialect.intro[language]));
        page.push_str(
            [
                "\n| Request | | Gemini's request | |\n|---|---|---|---|\n",
                "\n| 请求 | | 发给 Gemini 的请求 | |\n|---|---|---|---|\n",
            ][language],
        );
        dialect.requests.iter().for_each(|case| page.push_str(&request_row(case, language)));
        if !dialect.answers.is_empty() {
            page.push_str(
                [
                    "\n| Gemini's answer | Answer | |\n|---|---|---|\n",
                    "\n| Gemini 的响应 | 响应 | |\n|---|---|---|\n",
                ][language],
            );
            dialect.answers.iter().for_each(|case| page.push_str(&answer_row(case, language)));
        }
    }
    page
}

fn request_row(case: &Asked, language: usize) -> String {
    let word = match &case.outcome {
        Outcome::Becomes(_) if case.is_taken() => ["taken", "直接采用"],
        Outcome::Becomes(_) => ["mapped", "转换"],
        Outcome::Ignored => ["ignored", "忽略"],
        Outcome::OfAnswer => ["of the answer", "用于响应"],
        Outcome::Refused { .. } => ["refused", "拒绝"],
    };
    let becomes = match &case.outcome {
        Outcome::Becomes(places) => places_of(places),
        Outcome::Ignored | Outcome::OfAnswer | Outcome::Refused { .. } => String::new(),
    };
    let mut remark = case.remark[language].to_owned();
    if case.model != "gemini-3.5-flash" {
        remark = format!("`{}`{}{remark}", case.model, if remark.is_empty() { "" } else { ": " });
    }
    format!("| `{}` | {} | {becomes} | {remark} |\n", cell(case.field), word[language])
}

fn answer_row(case: &Answered, language: usize) -> String {
    format!("| `{}` | {} | {} |\n", cell(case.field), places_of(&case.becomes), case.remark[language])
}

/// `generationConfig.topP`, with the value where it is short.
fn places_of(places: &[(&'static str, Value)]) -> String {
    let places = places.iter().map(|(place, value)| {
        let mut path = String::new();
        for step in place.split('/').skip(1) {
            match step.parse::<usize>() {
                Ok(_) => path.push_str("[]"),
                Err(_) if path.is_empty() => path.push_str(step),
                Err(_) => path.push_str(&format!(".{step}")),
            }
        }
        let value = value.to_string();
        match value.as_str() {
            "null" => format!("~~`{}`~~", cell(&path)),
            value if value.chars().count() <= 40 && !value.contains('`') => {
                format!("`{}`: `{}`", cell(&path), cell(value))
            }
            _ => format!("`{}`", cell(&path)),
        }
    });
    places.collect::<Vec<_>>().join("<br>")
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
