//! As much of Markdown as the documentation uses: fenced blocks, tables, headings, links.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A page of the documentation.
pub(crate) struct Page {
    /// Its path from the root of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// What stands between two lines of backticks.
pub(crate) struct Block {
    /// The line of its fence.
    pub(crate) line: usize,
    /// What the fence says: the language first.
    pub(crate) words: Vec<String>,
    pub(crate) text: String,
}

/// Rows of cells.
pub(crate) struct Table {
    pub(crate) header: Vec<String>,
    /// Each with its line.
    pub(crate) rows: Vec<(usize, Vec<String>)>,
}

/// Where the repository begins.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The read-me and all pages under `docs`, in the order of their names.
pub(crate) fn pages() -> Vec<Page> {
    let mut paths = vec!["README.md".to_owned()];
    find("docs", &mut paths);
    paths.sort();
    let read = |path: String| Page { text: fs::read_to_string(root().join(&path)).unwrap(), path };
    paths.into_iter().map(read).collect()
}

fn find(folder: &str, pages: &mut Vec<String>) {
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let path = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
        if root().join(&path).is_dir() {
            find(&path, pages);
        } else if Path::new(&path).extension().is_some_and(|end| end == "md") {
            pages.push(path);
        }
    }
}

impl Page {
    /// Its fenced blocks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        self.parts().0
    }

    /// Its tables.
    pub(crate) fn tables(&self) -> Vec<Table> {
        let mut tables: Vec<Table> = Vec::new();
        let mut before = 0;
        for (line, text) in self.parts().1 {
            if !text.starts_with('|') {
                continue;
            }
            let row = cells(&text);
            if line == before + 1 {
                let is_rule = row.iter().all(|cell| cell.bytes().all(|byte| b"-:".contains(&byte)));
                if let Some(table) = tables.last_mut().filter(|_| !is_rule) {
                    table.rows.push((line, row));
                }
            } else {
                tables.push(Table { header: row, rows: Vec::new() });
            }
            before = line;
        }
        tables
    }

    /// Where its links lead, with their lines.
    pub(crate) fn links(&self) -> Vec<(usize, String)> {
        let (code, link) = (Regex::new("`[^`]*`").unwrap(), Regex::new(r"\]\(([^)\s]+)\)").unwrap());
        let links = |(line, text): (usize, String)| {
            let text = code.replace_all(&text, "");
            link.captures_iter(&text).map(|found| (line, found[1].to_owned())).collect::<Vec<_>>()
        };
        self.parts().1.into_iter().flat_map(links).collect()
    }

    /// The names of its headings in links.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let headings = self.parts().1.into_iter().filter(|(_, text)| text.starts_with('#'));
        headings.map(|(_, text)| anchor(text.trim_start_matches('#').trim())).collect()
    }

    /// Blocks, and the lines that are in none.
    fn parts(&self) -> (Vec<Block>, Vec<(usize, String)>) {
        let (mut blocks, mut prose) = (Vec::new(), Vec::new());
        let mut open: Option<(usize, Block)> = None;
        for (index, line) in self.text.lines().enumerate() {
            let trimmed = line.trim_start();
            match (open.take(), trimmed.strip_prefix("```")) {
                (None, Some(info)) => {
                    let words = info.split_whitespace().map(str::to_owned).collect();
                    let block = Block { line: index + 1, words, text: String::new() };
                    open = Some((line.len() - trimmed.len(), block));
                }
                (None, None) => prose.push((index + 1, line.to_owned())),
                (Some((_, block)), Some("")) => blocks.push(block),
                (Some((indent, mut block)), _) => {
                    block.text.push_str(line.get(indent..).unwrap_or_default());
                    block.text.push('\n');
                    open = Some((indent, block));
                }
            }
        }
        assert!(open.is_none(), "{}: a block has no end", self.path);
        (blocks, prose)
    }
}

impl Block {
    /// Whether it is of a language.
    pub(crate) fn is(&self, language: &str) -> bool {
        self.words.first().is_some_and(|word| word == language)
    }

    /// Whether its fence has a word behind the language.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.words.iter().skip(1).any(|known| known == word)
    }

    /// What its fence says behind `key=`, cut at commas.
    pub(crate) fn list(&self, key: &str) -> Vec<&str> {
        let values = self.words.iter().filter_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        values.flat_map(|values| values.split(',')).collect()
    }
}

impl Table {
    /// The cells of two columns, if it has them, with their lines.
    pub(crate) fn columns(&self, first: &str, second: &str) -> Option<Vec<(usize, &str, &str)>> {
        let place = |name: &str| self.header.iter().position(|cell| cell.eq_ignore_ascii_case(name));
        let (first, second) = (place(first)?, place(second)?);
        let rows = self.rows.iter();
        Some(rows.map(|(line, cells)| (*line, cells[first].as_str(), cells[second].as_str())).collect())
    }
}

/// A page's text with another text in a block.
pub(crate) fn replaced(text: &str, block: &Block, with: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let end = block.line + block.text.lines().count();
    [lines[..block.line].concat(), with.to_owned(), lines[end..].concat()].concat()
}

/// What a cell says between its backticks.
pub(crate) fn code(cell: &str) -> Option<&str> {
    let of_two = cell.strip_prefix("``").and_then(|cell| cell.strip_suffix("``")).map(str::trim);
    of_two.or_else(|| cell.strip_prefix('`')?.strip_suffix('`'))
}

/// The cells of a row; a bar inside one is written `\|`.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').replace("\\|", "\u{0}");
    let inner = inner.strip_suffix('|').unwrap_or(&inner);
    inner.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let plain = Regex::new(r"\[([^\]]*)\]\([^)]*\)").unwrap().replace_all(heading, "$1").to_lowercase();
    let kept = plain.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().replace(' ', "-")
}
