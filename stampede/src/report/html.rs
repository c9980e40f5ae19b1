//! The report as one page that needs nothing else: no network, no fonts, no libraries.

use super::Report;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page.
pub(crate) fn page(report: &Report) -> String {
    // `<` can stand in JSON's strings only, where its escape means the same; so data never end the script.
    let data = serde_json::to_string(report).unwrap_or_default().replace('<', "\\u003c");
    PAGE.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", SCRIPT).replace("/*DATA*/", &data)
}
