//! The filters and tests that an expression names. minijinja looks them up when they are used; a plan's mistakes are to be
//! found before.

/// A filter or test that an expression names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word<'a> {
    /// `x | upper`
    Filter(&'a str),
    /// `x is defined`
    Test(&'a str),
}

impl<'a> Word<'a> {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'a str {
        let (Self::Filter(name) | Self::Test(name)) = self;
        name
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Filter(_) => "filter",
            Self::Test(_) => "test",
        }
    }

    /// Those that there are, for hints.
    #[must_use]
    pub fn known(self) -> &'static [&'static str] {
        match self {
            Self::Filter(_) => &FILTERS,
            Self::Test(_) => &TESTS,
        }
    }
}

const FILTERS: [&str; 40] = [
    "abs",
    "attr",
    "base64",
    "batch",
    "bool",
    "chain",
    "count",
    "default",
    "escape",
    "first",
    "float",
    "format",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "raw",
    "reject",
    "replace",
    "reverse",
    "round",
    "select",
    "sha256",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "trim",
    "unique",
    "upper",
    "urlencode",
];

const TESTS: [&str; 20] = [
    "boolean",
    "defined",
    "divisibleby",
    "eq",
    "even",
    "false",
    "float",
    "in",
    "integer",
    "iterable",
    "lower",
    "mapping",
    "none",
    "number",
    "odd",
    "sequence",
    "string",
    "true",
    "undefined",
    "upper",
];

/// The words of an expression that is one, in order.
pub(super) fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut last = [Token::Other; 2];
    for token in tokens(text) {
        match (last, token) {
            ([_, Token::Pipe], Token::Name(name)) => words.push(Word::Filter(name)),
            ([_, Token::Name("is")], Token::Name("not")) => {}
            ([_, Token::Name("is")] | [Token::Name("is"), Token::Name("not")], Token::Name(name)) => {
                words.push(Word::Test(name));
            }
            _ => {}
        }
        last = [last[1], token];
    }
    words
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a str),
    Pipe,
    Other,
}

/// As much of an expression's form as tells words: what is quoted, or follows a dot, is none.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
    let (bytes, mut tokens, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            quote @ (b'"' | b'\'') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                tokens.push(Token::Other);
            }
            byte if is_name(byte) => {
                while at < bytes.len() && is_name(bytes[at]) {
                    at += 1;
                }
                let after_dot = start > 0 && bytes[start - 1] == b'.';
                tokens.push(if after_dot { Token::Other } else { Token::Name(&text[start..at]) });
            }
            byte => {
                at += 1;
                match byte {
                    b'|' => tokens.push(Token::Pipe),
                    byte if byte.is_ascii_whitespace() => {}
                    _ => tokens.push(Token::Other),
                }
            }
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::ProgramBuilder;

    #[test]
    fn filters_and_tests_are_told_from_all_else() {
        let check = |text: &str, expected: &[Word<'_>]| assert_eq!(words(text), expected, "{text}");
        check("a | upper", &[Word::Filter("upper")]);
        check("a|join(',')|length > 1", &[Word::Filter("join"), Word::Filter("length")]);
        check("a is defined and b is not none", &[Word::Test("defined"), Word::Test("none")]);
        check("'a | b' ~ \"is c \\\" | d\"", &[]);
        check("a.is.upper or this is x", &[Word::Test("x")]);
        check("ä | ö", &[Word::Filter("ö")]);
        check("'", &[]);
    }

    #[test]
    fn those_of_the_hints_are_there() {
        let builder = ProgramBuilder::new();
        for word in FILTERS.map(Word::Filter).into_iter().chain(TESTS.map(Word::Test)) {
            assert!(builder.knows(word), "{word:?}");
        }
        assert!(!builder.knows(Word::Filter("shout")) && !builder.knows(Word::Test("prime")));
    }
}
