//! The secret is replaced while two instances serve: nobody is lost in any stage, whichever instance they meet.

use super::*;
use crate::support::shop::{self, Setup};

/// What a stage of a rotation is: the flags of two instances.
type Stage<'a> = [Vec<String>; 2];

fn flags(current: &str, previous: Option<&str>, next: Option<&str>) -> Vec<String> {
    let mut flags = vec![format!("--jwt-secret={current}")];
    flags.extend(previous.map(|secret| format!("--jwt-secret-previous={secret}")));
    flags.extend(next.map(|secret| format!("--jwt-secret-next={secret}")));
    flags
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_rotation_of_the_secret_loses_nobody() {
    let world = World::new().await;
    let (old, new) = ("old-secret-".repeat(4), "new-secret-".repeat(4));
    let before = || flags(&old, None, None);
    let accepts = || flags(&old, None, Some(&new));
    let signs = || flags(&new, Some(&old), None);
    let after = || flags(&new, None, None);
    let stages: [Stage; 5] = [
        // First every instance accepts the new secret, then every one signs with it.
        [accepts(), before()],
        [accepts(), accepts()],
        [signs(), accepts()],
        [signs(), signs()],
        // When what the old one has signed is over, it goes.
        [after(), signs()],
    ];
    let start = world.instance_with(&[before()[0].as_str()]).await;
    let show = shop::show(&world, &start, Setup { rows: 2, ..Setup::default() }).await;
    let (mut people, mut seat) = (vec![Person::sign_up(&start.client(), "first").await], 0);
    drop(start);
    for (n, stage) in stages.iter().enumerate() {
        let mut instances = Vec::new();
        for flags in stage {
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            instances.push(world.instance_with(&flags).await);
        }
        if n == 4 {
            // Access tokens and turns of the old secret are over by then. Sessions are not: their refresh tokens have no secret.
            for person in &mut people {
                *person = Person::of(
                    &person.email,
                    &refresh(&instances[1].client(), &person.refresh).await,
                );
            }
        }
        for instance in &instances {
            people.push(Person::sign_up(&instance.client(), "next").await);
        }
        for person in &people {
            for instance in &instances {
                assert!(is_in(&person.at(instance)).await, "stage {n}: {person:?}");
            }
        }
        // A queue token of each is good at the other.
        for (from, to) in [(0, 1), (1, 0)] {
            let fan = Person::sign_up(&instances[from].client(), "fan").await.at(&instances[from]);
            let token = fan.admitted(&show.id).await;
            let there = fan.at(instances[to].address);
            assert_eq!(there.held(&show.id, &show.seats[seat], &token).await["status"], "HOLD");
            seat += 1;
        }
    }
    assert_eq!(people.len(), 11);
}
