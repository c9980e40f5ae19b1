//! Settings from files: `DATABASE_URL_FILE` names a file in which the value of DATABASE_URL stands, as containers get their
//! secrets. Every setting whose value is nobody's business may come so.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
};

use super::Failed;

/// What the variable is called that names the file.
const SUFFIX: &str = "_FILE";
/// No secret and no address is longer, in bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// The variable that names the file of a setting; `None` for settings that are no secrets.
pub(super) fn variable(argument: &clap::Arg) -> Option<String> {
    let name = argument.get_env()?.to_str()?;
    argument.is_hide_env_values_set().then(|| format!("{name}{SUFFIX}"))
}

/// The same command, whose help tells of the files.
pub(super) fn told(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| match (variable(&argument), argument.get_help()) {
        (Some(variable), Some(help)) => {
            let help = help.to_string();
            argument.help(format!("{}. Or name its file in {variable}", help.trim_end_matches('.')))
        }
        _ => argument,
    })
}

/// The command line with what stands in files. A flag on it comes first, as it does before a variable.
///
/// # Errors
/// A file that cannot be used, or a setting that is given both ways. Neither a path nor what stands in the file is repeated: one may
/// stand where the other belongs.
pub(super) fn read(
    program: &clap::Command,
    mut line: Vec<OsString>,
    variables: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<OsString>, Failed> {
    let named = line.get(1).and_then(|name| program.find_subcommand(name));
    let Some(command) = named else { return Ok(line) };
    let set = |name: &str| variables(name).filter(|value| !value.is_empty());
    let mut found = Vec::new();
    for argument in command.get_arguments() {
        let (Some(flag), Some(file), Some(name)) =
            (argument.get_long(), variable(argument), argument.get_env().and_then(OsStr::to_str))
        else {
            continue;
        };
        let flag = format!("--{flag}");
        let Some(path) = set(&file).filter(|_| !is_given(&line, &flag)) else { continue };
        if set(name).is_some() {
            return Err(Failed::unusable(format!(
                "{name} and {file} are both set; unset one of them."
            )));
        }
        let value = text(&path).map_err(|why| {
            Failed::unusable(format!("{file} {why}; correct it, or set {name} instead."))
        })?;
        found.push(OsString::from(format!("{flag}={value}")));
    }
    line.splice(2..2, found);
    Ok(line)
}

/// The same for the line and the environment that this program was started with.
pub(super) fn read_own(program: &clap::Command) -> Result<Vec<OsString>, Failed> {
    read(program, env::args_os().collect(), |name| env::var_os(name))
}

fn is_given(line: &[OsString], flag: &str) -> bool {
    let mut words = line.iter().filter_map(|word| word.to_str());
    words.any(|word| word.split('=').next() == Some(flag))
}

/// What stands in a file, without the line end that editors put behind it; or what is wrong with it, as the second half of a sentence.
fn text(path: &OsStr) -> Result<String, String> {
    let unreadable =
        |error: io::Error| format!("names a file that cannot be read ({})", error.kind());
    let mut text = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(BYTES_MAX + 1).read_to_end(&mut text).map_err(unreadable)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > BYTES_MAX {
        return Err("names a file that is too large for one value".to_owned());
    }
    let text = String::from_utf8(text).map_err(|_| "names a file that is no text".to_owned())?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err("names a file that is empty".to_owned()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;

    fn program() -> Command {
        let secret = Arg::new("key").long("key").env("A_KEY").hide_env_values(true).help("A key.");
        let plain = Arg::new("level").long("level").env("A_LEVEL");
        Command::new("p").subcommand(Command::new("serve").arg(secret).arg(plain))
    }

    fn line(words: &[&str], variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let words = words.iter().map(OsString::from).collect();
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        };
        let read = read(&program(), words, find).map_err(|failed| failed.to_string())?;
        Ok(read.into_iter().map(|word| word.into_string().unwrap()).collect())
    }

    fn file(text: &[u8]) -> String {
        let path = env::temp_dir().join(format!("frontrow-{}", crate::kernel::PersonId::new()));
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_secret_is_read_from_its_file_without_the_line_end() {
        let key = file(b"-s3cr3t key=1\r\n");
        let read = line(&["p", "serve", "--level", "1"], &[("A_KEY_FILE", &key)]);
        assert_eq!(read.unwrap(), ["p", "serve", "--key=-s3cr3t key=1", "--level", "1"]);
        for words in
            [&["p", "serve", "--key", "x"][..], &["p", "serve", "--key=x"], &["p"], &["p", "other"]]
        {
            assert_eq!(line(words, &[("A_KEY_FILE", &key)]).unwrap(), words);
        }
        // Only secrets have files; and an empty variable names none.
        let plain = [("A_LEVEL_FILE", key.as_str()), ("A_KEY_FILE", "")];
        assert_eq!(line(&["p", "serve"], &plain).unwrap(), ["p", "serve"]);
        assert_eq!(line(&["p", "serve"], &[("A_KEY", ""), ("A_KEY_FILE", &key)]).unwrap().len(), 3);
        std::fs::remove_file(key).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_said_without_the_path_and_the_text() {
        let (empty, bytes, large) = (file(b"\n"), file(&[0xff, b'S']), file(&[b'x'; 65 * 1024]));
        let folder = env::temp_dir().to_str().unwrap().to_owned();
        for (path, why) in [
            ("/nowhere/S3cr3t", "cannot be read"),
            (folder.as_str(), "cannot be read"),
            (&empty, "is empty"),
            (&bytes, "no text"),
            (&large, "too large"),
        ] {
            let told = line(&["p", "serve"], &[("A_KEY_FILE", path)]).unwrap_err();
            assert!(
                told.starts_with("A_KEY_FILE names a file that") && told.contains(why),
                "{told}"
            );
            assert!(!told.contains(path) && !told.contains("S3cr3t"), "{told}");
        }
        let told = line(&["p", "serve"], &[("A_KEY_FILE", "x"), ("A_KEY", "y")]).unwrap_err();
        assert_eq!(told, "A_KEY and A_KEY_FILE are both set; unset one of them.");
        for path in [empty, bytes, large] {
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn help_tells_of_the_file() {
        let mut command = told(program().find_subcommand("serve").unwrap().clone());
        assert!(
            command
                .render_long_help()
                .to_string()
                .contains("A key. Or name its file in A_KEY_FILE")
        );
    }
}
