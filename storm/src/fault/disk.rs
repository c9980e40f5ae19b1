//! A disk that is filled up, and stays full.

use std::{
    fs::File,
    io::{ErrorKind, Write},
    path::PathBuf,
};

use crate::Result;

/// What lies in the way. It is no larger than the disk, which is a small one in memory.
const BALLAST: &str = "ballast";
/// Large parts first, then smaller ones, until not even a page fits.
const PARTS: [usize; 2] = [1 << 20, 1 << 12];

/// Fills a disk until nothing fits any more; the file that does it.
///
/// # Errors
/// When something else than the lack of room stops it.
pub(crate) async fn fill(disk: PathBuf) -> Result<PathBuf> {
    let path = disk.join(BALLAST);
    top_up(path.clone()).await?;
    Ok(path)
}

/// Takes the room that was given back meanwhile.
///
/// # Errors
/// As [`fill`].
pub(crate) async fn top_up(path: PathBuf) -> Result<()> {
    tokio::task::spawn_blocking(move || grow(&path)).await??;
    Ok(())
}

fn grow(path: &PathBuf) -> std::io::Result<()> {
    let mut file = File::options().create(true).append(true).open(path)?;
    for part in PARTS {
        let zeros = vec![0; part];
        loop {
            match file.write(&zeros) {
                Ok(written) if written == part => {}
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
