//! The drawing of the tables is that of a migrated database.

use super::pages;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_drawing_is_that_of_the_migrated_database() {
    let world = World::new().await;
    let lines = world.texts(include_str!("../../../scripts/erd.sql")).await;
    assert!(lines.len() > 100, "{}", lines.len());
    let pages = pages::all();
    let page = pages.iter().find(|page| page.path.ends_with("docs/data-model.md")).unwrap();
    let drawn = page.blocks.iter().find(|block| block.language == "mermaid").unwrap();
    let told: Vec<&str> = drawn.text.lines().skip(1).collect();
    let missing: Vec<_> = lines.iter().filter(|line| !told.contains(&line.as_str())).collect();
    let strange: Vec<_> = told.iter().filter(|line| !lines.iter().any(|it| it == *line)).collect();
    assert!(
        lines == told,
        "docs/data-model.md: run scripts/erd.sh with the address of a migrated database, and look at the difference.\n\
         missing: {missing:#?}\nnot there: {strange:#?}"
    );
}
