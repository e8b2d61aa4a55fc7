//! The zip with the generator's binary.

use std::io::{Cursor, Read};

use sha2::{Digest, Sha256};
use squall_fleet::sizing::Architecture;
use thiserror::Error;
use zip::ZipArchive;

/// The name of the binary in the zip: what `provided.al2023` starts.
const BINARY: &str = "bootstrap";

/// What a zip of this project says in its comment, before its version.
const COMMENT: &str = "squall-generator ";

/// Lambda takes no larger zip.
const MAX_BYTES: usize = 250 * 1024 * 1024;

/// A zip that can be deployed.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// For which processors.
    pub architecture: Architecture,
    /// Of which version of the project.
    pub version: String,
}

/// Why bytes are no zip that can be deployed.
#[derive(Debug, Error)]
pub enum PackageError {
    /// They are no zip.
    #[error("it is no zip archive")]
    NoZip(#[source] zip::result::ZipError),
    /// Lambda would not take it.
    #[error("it has {0} bytes, and Lambda takes {MAX_BYTES}")]
    TooLarge(usize),
    /// There is no binary in it.
    #[error("it holds no `{BINARY}`")]
    NoBinary,
    /// The binary cannot be started.
    #[error("its `{BINARY}` has mode {0:o} and cannot be started; it needs 755")]
    NotExecutable(u32),
    /// It is no program of Linux.
    #[error("its `{BINARY}` is no Linux program")]
    NoProgram,
    /// It is for processors that Lambda has not.
    #[error("its `{BINARY}` is for another processor (ELF machine {0}); Lambda has x86_64 and arm64")]
    WrongArchitecture(u16),
    /// It is not of this project.
    #[error("it does not say which version of the generator it holds")]
    Unmarked,
}

impl Package {
    /// Where it is kept: its name is its content.
    #[must_use]
    pub fn key(&self) -> String {
        format!("code/{}.zip", hex::encode(Sha256::digest(&self.bytes)))
    }

    /// What is written into the comment of a zip with this version.
    #[must_use]
    pub fn comment(version: &str) -> String {
        format!("{COMMENT}{version}")
    }
}

/// Looks into a zip, and says for what it is.
pub fn read_package(bytes: Vec<u8>) -> Result<Package, PackageError> {
    if bytes.len() > MAX_BYTES {
        return Err(PackageError::TooLarge(bytes.len()));
    }
    let mut archive = ZipArchive::new(Cursor::new(&bytes)).map_err(PackageError::NoZip)?;
    let comment = String::from_utf8_lossy(archive.comment()).into_owned();
    let mut head = [0; 20];
    {
        let mut binary = archive.by_name(BINARY).map_err(|_| PackageError::NoBinary)?;
        let mode = binary.unix_mode().unwrap_or(0) & 0o777;
        if mode & 0o111 != 0o111 {
            return Err(PackageError::NotExecutable(mode));
        }
        binary.read_exact(&mut head).map_err(|_| PackageError::NoProgram)?;
    }
    let architecture = architecture(&head)?;
    let version = comment.strip_prefix(COMMENT).ok_or(PackageError::Unmarked)?.to_owned();
    Ok(Package { bytes, architecture, version })
}

/// Reads the head of an ELF file: 64 bits, little-endian, and the machine at offset 18.
fn architecture(head: &[u8; 20]) -> Result<Architecture, PackageError> {
    const ELF_64_LITTLE_ENDIAN: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
    if head[..6] != ELF_64_LITTLE_ENDIAN {
        return Err(PackageError::NoProgram);
    }
    match u16::from_le_bytes([head[18], head[19]]) {
        62 => Ok(Architecture::X86),
        183 => Ok(Architecture::Arm),
        other => Err(PackageError::WrongArchitecture(other)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn zip(name: &str, mode: u32, machine: u16, comment: &str) -> Vec<u8> {
        let mut head = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
        head.resize(18, 0);
        head.extend(machine.to_le_bytes());
        zip_of(name, mode, &head, comment)
    }

    fn zip_of(name: &str, mode: u32, binary: &[u8], comment: &str) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file(name, SimpleFileOptions::default().unix_permissions(mode)).unwrap();
        writer.write_all(binary).unwrap();
        writer.set_comment(comment).unwrap();
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn a_zip_says_for_which_processor_and_of_which_version_it_is() {
        let package = read_package(zip("bootstrap", 0o755, 62, &Package::comment("1.2.3"))).unwrap();
        assert_eq!((package.architecture, package.version.as_str()), (Architecture::X86, "1.2.3"));
        assert!(package.key().starts_with("code/") && package.key().len() == 5 + 64 + 4);
        let package = read_package(zip("bootstrap", 0o755, 183, &Package::comment("1"))).unwrap();
        assert_eq!(package.architecture.name(), "arm64");
    }

    #[test]
    fn what_lambda_could_not_start_is_refused_with_a_reason() {
        let comment = Package::comment("1");
        let check = |bytes: Vec<u8>, expected: &str| {
            let error = read_package(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(Vec::new(), "no zip archive");
        check(b"PK\x05\x06 and no more".to_vec(), "no zip archive");
        check(zip("main", 0o755, 62, &comment), "holds no `bootstrap`");
        check(zip("bootstrap", 0o644, 62, &comment), "mode 644");
        check(zip("bootstrap", 0o755, 40, &comment), "another processor (ELF machine 40)");
        check(zip("bootstrap", 0o755, 62, ""), "which version");
        let macos = [0xcf, 0xfa, 0xed, 0xfe].repeat(8);
        check(zip_of("bootstrap", 0o755, &macos, &comment), "no Linux program");
        check(zip_of("bootstrap", 0o755, b"#!/bin/sh", &comment), "no Linux program");
    }
}
