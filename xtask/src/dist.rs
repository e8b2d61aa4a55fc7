//! What is given to others: the command, and the generator as Lambda takes it.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::steps::{Steps, target_dir};

/// The C library of `provided.al2023`.
const GLIBC: (u32, u32) = (2, 34);

const ZIP: &str = "dist/bootstrap.zip";

/// The command and the generator.
pub(crate) fn all(steps: &mut Steps) {
    steps.cargo("the command", &["build", "--profile", "dist", "--package", "squall-cli"]);
    steps.step("dist/squall", || {
        fs::create_dir_all("dist")?;
        let bytes = fs::copy(target_dir()?.join("dist/squall"), "dist/squall")?;
        println!("dist/squall: {:.2} MB", bytes as f64 / 1e6);
        Ok(())
    });
    generator(steps);
}

/// The generator. Built by itself: a build of the whole workspace would give it the command's features, too.
pub(crate) fn generator(steps: &mut Steps) {
    steps.cargo("the generator", &["build", "--profile", "dist", "--package", "squall-generator"]);
    match target_dir() {
        Ok(folder) => zip_of(steps, &folder.join("dist/bootstrap")),
        Err(error) => steps.step(ZIP, || Err(error)),
    }
}

/// The zip of a binary, if Lambda can start it.
pub(crate) fn zip_of(steps: &mut Steps, binary: &Path) {
    steps.step(ZIP, || {
        let binary = fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
        let glibc = match newest_glibc(&binary) {
            Some((major, minor)) if (major, minor) > GLIBC => {
                bail!("the generator needs glibc {major}.{minor}, and Lambda has {}.{}", GLIBC.0, GLIBC.1)
            }
            Some((major, minor)) => format!("glibc {major}.{minor}"),
            None => "no glibc".to_owned(),
        };
        fs::create_dir_all("dist")?;
        let zip = zip(&binary)?;
        // Whoever deploys meanwhile reads one or the other.
        let temporary = Path::new("dist/.bootstrap.zip.tmp");
        File::create(temporary)?.write_all(&zip)?;
        fs::rename(temporary, ZIP)?;
        println!(
            "{ZIP}: {:.2} MB, of {:.2} MB; needs {glibc}",
            zip.len() as f64 / 1e6,
            binary.len() as f64 / 1e6
        );
        Ok(())
    });
}

/// The same binary gives the same bytes, so that it is uploaded once.
fn zip(binary: &[u8]) -> Result<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .unix_permissions(0o755);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("bootstrap", options)?;
    writer.write_all(binary)?;
    writer.set_comment(format!("squall-generator {}", env!("CARGO_PKG_VERSION")))?;
    Ok(writer.finish()?.into_inner())
}

/// The newest version of glibc whose symbols a program names.
fn newest_glibc(binary: &[u8]) -> Option<(u32, u32)> {
    const NAME: &[u8] = b"GLIBC_";
    let names = (0..binary.len().saturating_sub(NAME.len())).filter(|at| binary[*at..].starts_with(NAME));
    let versions = names.filter_map(|at| {
        let rest = &binary[at + NAME.len()..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
        let text = std::str::from_utf8(&rest[..end]).ok()?;
        let mut parts = text.split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_glibc_that_is_named_counts() {
        let check = |binary: &[u8], expected| assert_eq!(newest_glibc(binary), expected);
        check(b"\x7fELF GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.17\0", Some((2, 34)));
        check(b"GLIBC_2.2.5\0GLIBC_PRIVATE\0", Some((2, 2)));
        check(b"GLIBC_2.38\0", Some((2, 38)));
        check(b"static GLIBC", None);
    }

    #[test]
    fn a_zip_is_the_same_for_the_same_binary() {
        assert_eq!(zip(b"binary").unwrap(), zip(b"binary").unwrap());
    }
}
