//! Every page of the repository: its links, its headings, its blocks of code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

/// Not ours, or not written by people.
const LEFT_OUT: &[&str] = &["target", "node_modules"];

/// A block of code.
#[derive(Debug)]
pub(super) struct Block {
    /// Where it stands: the page, and the line of its fence.
    pub(super) place: String,
    pub(super) language: String,
    pub(super) text: String,
}

/// A page, by its path below the root of the repository.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) path: PathBuf,
    /// Its lines with their numbers, without blocks of code.
    pub(super) prose: Vec<(usize, String)>,
    pub(super) blocks: Vec<Block>,
}

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every page, in the order of their paths.
pub(super) fn all() -> Vec<Page> {
    let (mut pages, mut folders) = (Vec::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !name.starts_with('.') && !LEFT_OUT.contains(&name.as_str()) {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let short = path.strip_prefix(root()).unwrap().to_owned();
                pages.push(read(short, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    pages.sort_by(|one, other| one.path.cmp(&other.path));
    pages
}

/// A page of this text.
fn read(path: PathBuf, text: &str) -> Page {
    let (mut prose, mut blocks) = (Vec::new(), Vec::new());
    let mut open: Option<(usize, Block)> = None;
    for (at, line) in (1..).zip(text.lines()) {
        let inner = line.trim_start();
        match (&mut open, inner.strip_prefix("```")) {
            (None, Some(language)) => {
                let place = format!("{}:{at}", path.display());
                let language = language.trim().to_owned();
                open = Some((
                    line.len() - inner.len(),
                    Block { place, language, text: String::new() },
                ));
            }
            (None, None) => prose.push((at, line.to_owned())),
            (Some(_), Some("")) => blocks.extend(open.take().map(|(_, block)| block)),
            (Some((indent, block)), _) => {
                // As deep as its fence: a block may stand in a list.
                let deep = line.len() - inner.len();
                block.text += &line[deep.min(*indent)..];
                block.text.push('\n');
            }
        }
    }
    if let Some((_, block)) = open {
        panic!("{}: the block does not end", block.place);
    }
    Page { path, prose, blocks }
}

/// What a heading is called in a link, as GitHub does.
fn slug(heading: &str) -> String {
    let plain = linked(heading);
    let letters = plain.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        _ if c.is_alphanumeric() => Some(c.to_lowercase().next().unwrap_or(c)),
        _ => None,
    });
    letters.collect()
}

/// A text without the addresses of its links.
fn linked(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        plain += &before.replace('[', "");
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    plain + rest
}

impl Page {
    /// What can be linked to on this page.
    pub(super) fn anchors(&self) -> BTreeSet<String> {
        let (mut anchors, mut times) = (BTreeSet::new(), BTreeMap::new());
        for heading in self.headings() {
            let slug = slug(&heading);
            let before: usize =
                *times.entry(slug.clone()).and_modify(|times| *times += 1).or_default();
            anchors.insert(if before == 0 { slug } else { format!("{slug}-{before}") });
        }
        anchors
    }

    pub(super) fn headings(&self) -> Vec<String> {
        let lines = self.prose.iter().filter(|(_, line)| line.starts_with('#'));
        lines.map(|(_, line)| line.trim_start_matches('#').trim().to_owned()).collect()
    }

    /// Where its links lead to, each with the place where it stands.
    pub(super) fn links(&self) -> Vec<(String, String)> {
        let mut links = Vec::new();
        for (at, line) in &self.prose {
            let line = without_code(line);
            for (_, after) in line.match_indices("](").map(|(at, it)| (at, &line[at + it.len()..]))
            {
                if let Some((target, _)) = after.split_once(')') {
                    links.push((format!("{}:{at}", self.path.display()), target.to_owned()));
                }
            }
        }
        links
    }
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{} leads out", path.display()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// What is wrong with the links of some pages.
fn astray(pages: &[Page], exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut astray = Vec::new();
    for page in pages {
        for (place, target) in page.links() {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let folder = page.path.parent().unwrap_or(Path::new(""));
            let path = if file.is_empty() { page.path.clone() } else { plain(&folder.join(file)) };
            if !exists(&path) {
                astray.push(format!("{place}: there is no {}", path.display()));
            } else if !anchor.is_empty() {
                let there = pages.iter().find(|other| other.path == path);
                if !there.is_some_and(|there| there.anchors().contains(anchor)) {
                    astray.push(format!("{place}: {} has no heading #{anchor}", path.display()));
                }
            }
        }
    }
    astray
}

#[test]
fn links_and_anchors_lead_somewhere() {
    let pages = all();
    assert!(pages.len() > 40, "{}", pages.len());
    let links: usize = pages.iter().map(|page| page.links().len()).sum();
    assert!(links > 150, "{links}");
    let astray = astray(&pages, |path| root().join(path).exists());
    assert!(astray.is_empty(), "{}", astray.join("\n"));
}

#[test]
fn every_page_is_in_the_index() {
    let index = fs::read_to_string(root().join("docs/README.md")).unwrap();
    for page in all() {
        let Ok(path) = page.path.strip_prefix("docs") else { continue };
        let path = path.to_str().unwrap();
        assert!(
            path == "README.md" || index.contains(&format!("]({path})")),
            "docs/README.md lacks {path}"
        );
    }
}

#[test]
fn a_link_astray_is_noticed() {
    let one = read(
        "docs/one.md".into(),
        "# A `code` word, twice\n## [Linked](x.md) too\n## Linked too\n```sh\n# none\n```\n",
    );
    assert_eq!(
        one.anchors().into_iter().collect::<Vec<_>>(),
        ["a-code-word-twice", "linked-too", "linked-too-1"]
    );
    let text = "[a](docs/one.md#linked-too-1) [b](docs/one.md#none) [c](docs/two.md) [d](https://x) `[e](f)`\n";
    let pages = [read("top.md".into(), text), one];
    let told = astray(&pages, |path| pages.iter().any(|page| page.path == path));
    assert_eq!(
        told,
        [
            "top.md:1: docs/one.md has no heading #none",
            "top.md:1: there is no docs/two.md",
            "docs/one.md:2: there is no docs/x.md"
        ]
    );
}
