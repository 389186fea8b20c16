//! What a source file names: the modules of the crate's root, and every word.

use std::path::Path;
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Read from the tokens, so that comments and literals do not count and the insides of macros do. What is there for tests
/// only is left out.
#[derive(Debug)]
pub(super) struct Named {
    /// Each once.
    pub(super) modules: Vec<String>,
    pub(super) words: Vec<String>,
}

impl Named {
    pub(super) fn of(path: &Path, source: &str) -> Self {
        let tokens = flatten(TokenStream::from_str(source).expect("it compiles"));
        let modules = modules(&tokens, depth(path));
        let word = |token| match token {
            Token::Ident(word) => Some(word),
            _ => None,
        };
        let words = tokens.into_iter().filter_map(word).collect();
        Self { modules, words }
    }
}

/// How many `super` lead from the file's module to the root.
fn depth(path: &Path) -> usize {
    let parts = path.strip_prefix("src").unwrap_or(path).iter().count();
    let is_mod = path.file_name().is_some_and(|name| name == "mod.rs");
    if is_mod { parts - 1 } else { parts }
}

#[derive(Debug, PartialEq)]
enum Token {
    Ident(String),
    Punct(char),
    Open,
    Close,
}

/// The tokens in a row, without comments, literals, and what is there for tests only.
fn flatten(stream: TokenStream) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        match tree {
            TokenTree::Ident(ident) => tokens.push(Token::Ident(ident.to_string())),
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                let attribute = trees.next_if(|next| matches!(next, TokenTree::Group(_)));
                let for_tests = attribute
                    .is_some_and(|group| group.to_string().replace(' ', "") == "[cfg(test)]");
                if for_tests {
                    skip_item(&mut trees);
                }
            }
            TokenTree::Punct(punct) => tokens.push(Token::Punct(punct.as_char())),
            TokenTree::Group(group) => {
                tokens.push(Token::Open);
                tokens.extend(flatten(group.stream()));
                tokens.push(Token::Close);
            }
            TokenTree::Literal(_) => {}
        }
    }
    tokens
}

/// To the item's body or semicolon.
fn skip_item(trees: &mut impl Iterator<Item = TokenTree>) {
    for tree in trees {
        let ends = match &tree {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(punct) => punct.as_char() == ';',
            _ => false,
        };
        if ends {
            return;
        }
    }
}

/// The modules of the root that are named by `crate::` or by as many `super::` as lead there, each once.
fn modules(tokens: &[Token], depth: usize) -> Vec<String> {
    let mut named = Vec::new();
    for start in 0..tokens.len() {
        let Some(rest) = after_root(&tokens[start..], depth) else {
            continue;
        };
        let found = match rest.first() {
            Some(Token::Ident(name)) => vec![name.clone()],
            Some(Token::Open) => heads(&rest[1..]),
            _ => Vec::new(),
        };
        for name in found {
            if !named.contains(&name) {
                named.push(name);
            }
        }
    }
    named
}

/// What follows `crate::` or the `super::`s that lead to the root.
fn after_root(tokens: &[Token], depth: usize) -> Option<&[Token]> {
    if let Some(rest) = after_segment(tokens, "crate") {
        return Some(rest);
    }
    let mut rest = tokens;
    for _ in 0..depth {
        rest = after_segment(rest, "super")?;
    }
    (depth > 0).then_some(rest)
}

fn after_segment<'a>(tokens: &'a [Token], segment: &str) -> Option<&'a [Token]> {
    match tokens {
        [
            Token::Ident(name),
            Token::Punct(':'),
            Token::Punct(':'),
            rest @ ..,
        ] if name == segment => Some(rest),
        _ => None,
    }
}

/// The first segments of a `{…}` list in a `use`.
fn heads(tokens: &[Token]) -> Vec<String> {
    let mut heads = Vec::new();
    let mut open = 0;
    let mut at_head = true;
    for token in tokens {
        match token {
            Token::Open => open += 1,
            Token::Close if open == 0 => break,
            Token::Close => open -= 1,
            Token::Punct(',') if open == 0 => at_head = true,
            Token::Ident(name) if open == 0 && at_head => {
                heads.push(name.clone());
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}
