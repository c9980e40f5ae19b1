//! Building the index of a long line from the journal, while somebody else uses the same Redis.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis::aio::MultiplexedConnection;

use crate::{Result, scenery, scenery::Scenery};

const RUNS: usize = 3;
/// Longer than any rebuild should take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn measure(scenery: &Scenery, redis_url: &str, people: u32) -> Result<()> {
    let schedule_id = scenery.line(people).await?;
    let mut redis = redis::Client::open(redis_url)?.get_multiplexed_async_connection().await?;
    let names = [
        "generation",
        "waiting",
        "seen",
        "seq",
        "left",
        "sum",
        "high",
        "builder",
        "built",
        "built_sum",
    ];
    let mut keys = Vec::new();
    println!(
        "| people | seconds until the line is whole | longest wait for a PING meanwhile, ms |"
    );
    println!("|---|---|---|");
    for _ in 0..RUNS {
        // One that has just counted a long line does not count it again at once.
        let app = scenery::app(&scenery.url, redis_url).await?;
        keys = names.map(|name| app.kv.name(&format!("room:{{{schedule_id}}}:{name}"))).to_vec();
        redis::cmd("UNLINK").arg(&keys).query_async::<i64>(&mut redis).await?;
        let longest = Arc::new(AtomicU64::new(0));
        let other = tokio::spawn(wait_for_pings(redis.clone(), longest.clone()));
        let start = Instant::now();
        app.waiting_rooms.compare().await.map_err(|fault| fault.report().to_string())?;
        while !whole(&mut redis, &keys, people).await? {
            if start.elapsed() > PATIENCE {
                return Err("the line does not come back".into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (took, longest) = (start.elapsed(), longest.load(Ordering::Relaxed));
        other.abort();
        println!(
            "| {people} | {:.2} | {}.{} |",
            took.as_secs_f64(),
            longest / 1000,
            longest / 100 % 10
        );
        // What follows the swap is over before the next run begins.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    redis::cmd("UNLINK").arg(&keys).query_async::<i64>(&mut redis).await?;
    Ok(())
}

/// Asks Redis again and again, and notes the longest time that an answer took, in microseconds.
async fn wait_for_pings(mut redis: MultiplexedConnection, longest: Arc<AtomicU64>) {
    loop {
        let start = Instant::now();
        if redis::cmd("PING").query_async::<String>(&mut redis).await.is_err() {
            return;
        }
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        longest.fetch_max(micros, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whether the line is in use, with everybody in it. `keys` begins with generation and waiting.
async fn whole(redis: &mut MultiplexedConnection, keys: &[String], people: u32) -> Result<bool> {
    let mut both = redis::pipe();
    both.cmd("EXISTS").arg(&keys[0]).cmd("ZCARD").arg(&keys[1]);
    let (line, count): (bool, u32) = both.query_async(redis).await?;
    Ok(line && count == people)
}
