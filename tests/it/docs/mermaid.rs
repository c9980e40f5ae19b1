//! Diagrams: each line is one that Mermaid understands, and everything that is opened is closed.
//!
//! Not Mermaid's own grammar, but the part of it that our pages use; what is not in here is refused.

use std::collections::BTreeSet;

use super::pages;

/// What is wrong with a diagram, if anything is.
fn fault(text: &str) -> Option<String> {
    let mut lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("%%"));
    let kind = lines.next().unwrap_or_default();
    let lines: Vec<&str> = lines.collect();
    let check: fn(&[&str]) -> Result<(), String> = match kind.split(' ').next().unwrap_or_default()
    {
        "stateDiagram-v2" => states,
        "sequenceDiagram" => sequence,
        "erDiagram" => relations,
        "flowchart" => flow,
        other => return Some(format!("no diagram of ours: {other}")),
    };
    if lines.is_empty() { Some("empty".to_owned()) } else { check(&lines).err() }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn wrong(line: &str) -> Result<(), String> {
    Err(format!("not understood: {line}"))
}

/// Mermaid ends a statement at a semicolon, and reads `#` as the beginning of an entity.
fn is_text(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains([';', '#'])
}

fn states(lines: &[&str]) -> Result<(), String> {
    for line in lines {
        let (from, rest) = line.split_once(" --> ").unwrap_or((line, ""));
        let (to, why) = rest.split_once(": ").unwrap_or((rest, "nothing said"));
        let state = |name: &str| name == "[*]" || is_name(name);
        if !(state(from) && state(to) && is_text(why)) || why.contains(':') {
            return wrong(line);
        }
    }
    Ok(())
}

/// The longer ones first.
const ARROWS: [&str; 6] = ["-->>", "->>", "--x", "-x", "--)", "-)"];

fn sequence(lines: &[&str]) -> Result<(), String> {
    let (mut known, mut open) = (BTreeSet::new(), Vec::new());
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "autonumber" => {}
            "participant" | "actor" => {
                let name = rest.split_once(" as ").map_or(rest, |(name, _)| name);
                if !is_name(name) || !known.insert(name) {
                    return wrong(line);
                }
            }
            "alt" | "loop" | "opt" if is_text(rest) => open.push(word),
            "else" if open.last() == Some(&"alt") => {}
            "end" if open.pop().is_some() => {}
            "Note" => {
                let (place, text) = rest.split_once(": ").unwrap_or_default();
                let names = place.strip_prefix("over ").unwrap_or_default();
                if !is_text(text) || !names.split(',').all(|name| known.contains(name)) {
                    return wrong(line);
                }
            }
            _ => {
                let (ends, text) = line.split_once(": ").unwrap_or_default();
                let arrow = ARROWS.iter().find_map(|arrow| ends.split_once(arrow));
                let both =
                    arrow.is_some_and(|(from, to)| known.contains(from) && known.contains(to));
                if !both || !is_text(text) {
                    return wrong(line);
                }
            }
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("without an end: {open:?}")) }
}

fn relations(lines: &[&str]) -> Result<(), String> {
    let mut inside = false;
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        match *words.as_slice() {
            ["}"] if inside => inside = false,
            [name, "{"] if !inside && is_name(name) => inside = true,
            [kind, name, ref rest @ ..] if inside && is_name(kind) && is_name(name) => {
                let rest = rest.join(" ");
                let (keys, comment) = rest
                    .split_once('"')
                    .map_or((rest.as_str(), None), |(keys, it)| (keys, Some(it)));
                let keys = keys.trim();
                let known = keys.is_empty()
                    || keys.split(", ").all(|key| ["PK", "FK", "UK"].contains(&key));
                let closed = comment
                    .is_none_or(|it| it.strip_suffix('"').is_some_and(|it| !it.contains('"')));
                if !(known && closed) {
                    return wrong(line);
                }
            }
            [one, relation, many, ":", label] if !inside => {
                let is_relation = relation.len() == 6
                    && ["||", "|o"].contains(&&relation[..2])
                    && ["--", ".."].contains(&&relation[2..4])
                    && ["o{", "o|"].contains(&&relation[4..]);
                if !([one, many, label].iter().all(|name| is_name(name)) && is_relation) {
                    return wrong(line);
                }
            }
            _ => return wrong(line),
        }
    }
    if inside { Err("a table without an end".to_owned()) } else { Ok(()) }
}

fn flow(lines: &[&str]) -> Result<(), String> {
    let mut open = 0_usize;
    for line in lines {
        if line.starts_with("subgraph ") {
            open += 1;
        } else if *line == "end" {
            open = open.checked_sub(1).ok_or("an end of nothing")?;
        } else {
            let mut brackets = Vec::new();
            for c in line.chars() {
                match c {
                    '(' | '[' | '{' => brackets.push(c),
                    ')' | ']' | '}' => {
                        let opened = brackets.pop();
                        let fits = matches!(
                            (opened, c),
                            (Some('('), ')') | (Some('['), ']') | (Some('{'), '}')
                        );
                        if !fits {
                            return wrong(line);
                        }
                    }
                    _ => {}
                }
            }
            let is_node = line.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
            if !brackets.is_empty() || !is_node || line.contains(';') {
                return wrong(line);
            }
        }
    }
    if open == 0 { Ok(()) } else { Err("a subgraph without an end".to_owned()) }
}

#[test]
fn diagrams_are_well_formed() {
    let pages = pages::all();
    let diagrams: Vec<_> = pages
        .iter()
        .flat_map(|page| &page.blocks)
        .filter(|block| block.language == "mermaid")
        .collect();
    assert!(diagrams.len() > 15, "{}", diagrams.len());
    for diagram in diagrams {
        assert_eq!(fault(&diagram.text), None, "{}", diagram.place);
    }
}

#[test]
fn a_broken_diagram_is_noticed() {
    for broken in [
        "pie\n a: 1",
        "stateDiagram-v2",
        "stateDiagram-v2\n A -> B: typo",
        "stateDiagram-v2\n A --> B: one; two",
        "sequenceDiagram\n participant A\n A->>B: nobody knows B",
        "sequenceDiagram\n participant A\n A->>A",
        "sequenceDiagram\n participant A\n loop for ever\n A->>A: x",
        "sequenceDiagram\n participant A\n A->>A: x\n end",
        "sequenceDiagram\n participant A\n loop x\n else y\n end",
        "sequenceDiagram\n participant A\n Note over B: x",
        "erDiagram\n a ||-o{ b : c",
        "erDiagram\n a {\n uuid id XK\n }",
        "erDiagram\n a {\n uuid id",
        "flowchart TD\n a[x --> b",
        "flowchart TD\n subgraph x\n a --> b",
    ] {
        assert!(fault(broken).is_some(), "{broken}");
    }
}
