//! `squall init`: a plan to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde_json::Value;
use squall_plan::{Bundle, Inputs};
use squall_report::ExitCode;

use crate::args::InitArgs;
use crate::failure::Failure;
use crate::{plan, url};

/// The plan for the simulated shop, which `squall target` serves where the plan says.
const SHOP: &str = include_str!("init/shop.yaml");

/// The plan for any other service.
const SERVICE: &str = include_str!("init/service.yaml");

/// What stands in [`SERVICE`] for the target, its host and the path.
const TARGET: &str = "\"TARGET\"";
const NAME: &str = "\"NAME\"";
const PATH: &str = "\"PATH\"";

/// `squall init`
pub(crate) fn command(args: &InitArgs) -> Result<ExitCode, Failure> {
    let (address, file) = places(args)?;
    let text = match &address {
        None => SHOP.to_owned(),
        Some(address) => service(address)?,
    };
    write(&file, &text, args.force)?;
    let shown = file.display();
    println!("wrote {shown}\n\nnext:");
    if address.is_none() {
        println!("  squall target                  in another terminal: the simulated shop");
    }
    for (verb, tail, what) in [
        ("validate", "", "every mistake, with its place"),
        ("plan", "", "what it will do"),
        ("run", " --once", "one user, every exchange in full"),
        ("run", "", "the load, and its report"),
    ] {
        let command = format!("squall {verb} {shown}{tail}");
        println!("  {command:<30} {what}");
    }
    Ok(ExitCode::Passed)
}

/// The URL, if there is one, and the file. A single one that is no URL is the file.
fn places(args: &InitArgs) -> Result<(Option<String>, PathBuf), Failure> {
    let default = || PathBuf::from("plan.yaml");
    match (&args.url, &args.file) {
        (None, _) => Ok((None, default())),
        (Some(address), file) if url::is_url(address) => {
            Ok((Some(address.clone()), file.clone().unwrap_or_else(default)))
        }
        (Some(file), None) if !file.contains("://") => Ok((None, PathBuf::from(file))),
        (Some(other), _) => Err(Failure::wrong(anyhow!("`{other}` is no URL of a service"))
            .with_hint("write it with its scheme, such as http://127.0.0.1:8080")),
    }
}

/// The plan for a service, which is refused before it is written if it would be no plan.
fn service(address: &str) -> Result<String, Failure> {
    let (target, path) = url::parts(address);
    let host = target.split_once("://").map_or(target, |(_, host)| host);
    let quoted = |text: &str| Value::from(text).to_string();
    let text =
        SERVICE.replace(TARGET, &quoted(target)).replace(NAME, &quoted(host)).replace(PATH, &quoted(&path));
    plan::from_bundle(Bundle::new(address, text.as_str(), Inputs::default()))?;
    Ok(text)
}

fn write(file: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create(force).create_new(!force).truncate(force);
    let written = options.open(file).and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::wrong(anyhow!("`{}` is there already", file.display())).with_hint(
                "write to another file, as in `squall init other.yaml`, or replace it with --force",
            ))
        }
        written => {
            written.with_context(|| format!("cannot write `{}`", file.display())).map_err(Failure::wrong)
        }
    }
}

#[cfg(test)]
mod tests {
    use squall_plan::compile;

    use super::*;

    #[test]
    fn what_one_begins_with_has_no_mistake() {
        for text in [
            SHOP.to_owned(),
            service("http://127.0.0.1:9/a-b?x='1'#y").unwrap(),
            service("https://example.com").unwrap(),
        ] {
            let compiled = compile(&Bundle::new("plan.yaml", text.as_str(), Inputs::default()));
            let problems = compiled.map_or_else(|problems| problems, |compiled| compiled.warnings);
            assert!(problems.is_empty(), "{}", problems.render(false));
        }
    }
}
