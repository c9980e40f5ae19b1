//! `frontrow roster` and `frontrow verify-draw`.

use serde_json::{Value, json};

use super::run;
use crate::support::{
    eventually,
    shop::{self, Setup},
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_draw_is_published_as_a_roster_and_verified_by_anybody() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup { opens_in: 3_600, ..Setup::default() }).await;
    let fans = shop::fans(&world, &a, 8).await;
    for fan in &fans {
        assert_eq!(fan.enter(&show.id).await["userErrors"], json!([]));
    }
    let url = [("DATABASE_URL", world.database.url.as_str())];
    let roster = ["roster", "--schedule", &show.id];
    let file = std::env::temp_dir().join(format!("roster-{}.jsonl", show.id));
    let path = file.to_str().unwrap();

    // Before the draw it names people, and neither secret nor numbers.
    let sealed = run(&roster, &url, "").await.went_well().to_owned();
    assert_eq!(sealed.lines().count(), 9, "{sealed}");
    assert!(sealed.contains(r#""drawSecret":null"#) && !sealed.contains("number"), "{sealed}");
    let header: Value = serde_json::from_str(sealed.lines().next().unwrap()).unwrap();
    let commitment = header["drawCommitment"].as_str().unwrap();
    std::fs::write(&file, &sealed).unwrap();
    run(&["verify-draw", path], &[], "").await.said(&["not over"]);

    world.sql("UPDATE schedule SET sales_open_at = clock_timestamp()").await;
    let drawn = eventually("the draw to be over", async || {
        let drawn = run(&roster, &url, "").await.went_well().to_owned();
        drawn.contains("number").then_some(drawn)
    })
    .await;
    std::fs::write(&file, &drawn).unwrap();
    // No database, no secret of the operator: the file is enough.
    let verified = run(&["verify-draw", path, "--commitment", commitment], &[], "").await;
    let holds = format!("The draw holds: 8 places, commitment {commitment}.\n");
    assert_eq!(verified.went_well(), holds);
    let mut places: Vec<String> = Vec::new();
    for fan in &fans {
        let out =
            run(&["verify-draw", path, "--person", fan.person_id.as_deref().unwrap()], &[], "")
                .await;
        places.push(out.went_well().split("drew place ").nth(1).unwrap().to_owned());
    }
    places.sort();
    let all: Vec<String> = (1..=8).map(|place| format!("{place} of 8.\n")).collect();
    assert_eq!(places, all);

    let tampered =
        |what: &str, into: &str| std::fs::write(&file, drawn.replacen(what, into, 1)).unwrap();
    tampered(r#""number":-"#, r#""number":-1"#);
    let found = run(&["verify-draw", path], &[], "").await;
    assert!(found.code == 1 && found.out.contains("The draw does not hold."), "{found:?}");
    let left_out: String = drawn.lines().take(8).map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, left_out).unwrap();
    let found = run(&["verify-draw", path], &[], "").await;
    assert!(
        found.code == 1 && found.out.contains("8 places were announced, 7 are listed"),
        "{found:?}"
    );
    let other = "0".repeat(64);
    std::fs::write(&file, &drawn).unwrap();
    let found = run(&["verify-draw", path, "--commitment", &other], &[], "").await;
    assert!(found.code == 1 && found.out.contains("not the one of commitment 0000"), "{found:?}");

    run(&["verify-draw", path, "--commitment", "0x12"], &[], "")
        .await
        .said(&["--commitment", "64 hexadecimal digits"]);
    tampered(r#"{"personId""#, r#"{"person""#);
    run(&["verify-draw", path], &[], "").await.said(&["Line 2", "personId"]);
    std::fs::write(&file, "").unwrap();
    run(&["verify-draw", path], &[], "").await.said(&["Line 1", "empty"]);
    std::fs::remove_file(&file).unwrap();
    run(&["verify-draw", path], &[], "").await.said(&["cannot be read"]);
    let nowhere = ["roster", "--schedule", "00000000-0000-7000-8000-000000000000"];
    run(&nowhere, &url, "").await.said(&["There is no performance"]);
}
