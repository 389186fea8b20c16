//! Reads what is scraped as strictly as the format's description has it, and finds a series in it.

use std::collections::{BTreeMap, BTreeSet};

/// One series: its name with its suffix, and its labels.
type Series = (String, BTreeMap<String, String>);

#[derive(Debug)]
pub struct Scrape {
    pub families: Vec<Family>,
    series: BTreeMap<Series, f64>,
}

#[derive(Debug)]
pub struct Family {
    pub name: String,
    pub kind: String,
    pub help: String,
}

impl Scrape {
    pub fn read(text: &str) -> Result<Self, String> {
        let body = text
            .strip_suffix("# EOF\n")
            .ok_or("it does not end with # EOF")?;
        let mut scrape = Self {
            families: Vec::new(),
            series: BTreeMap::new(),
        };
        let mut names = BTreeSet::new();
        for line in body.lines() {
            let wrong = |what: &str| Err(format!("{what}: {line:?}"));
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let Some((name, help)) = rest.split_once(' ') else {
                    return wrong("a help without a text");
                };
                if !is_name(name) || !names.insert(name.to_owned()) {
                    return wrong("no name, or one that was there before");
                }
                scrape.families.push(Family {
                    name: name.to_owned(),
                    kind: String::new(),
                    help: help.to_owned(),
                });
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let family = scrape.families.last_mut();
                match (family, rest.split_once(' ')) {
                    (Some(family), Some((name, kind))) if family.name == name => {
                        if !["counter", "gauge", "histogram"].contains(&kind) {
                            return wrong("no such kind");
                        }
                        kind.clone_into(&mut family.kind);
                    }
                    _ => return wrong("a type of something else"),
                }
            } else {
                let (series, value) = sample(line)?;
                let Some(family) = scrape.families.last() else {
                    return wrong("a sample of nothing");
                };
                if !belongs(&series.0, family) {
                    return wrong(
                        "a sample of another family, or with a suffix that is not its kind's",
                    );
                }
                if scrape.series.insert(series, value).is_some() {
                    return wrong("twice");
                }
            }
        }
        scrape.check_histograms()?;
        Ok(scrape)
    }

    /// Of a series that must be there.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let owned = labels.iter();
        let owned = owned.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let series = (name.to_owned(), owned.collect());
        let value = self.series.get(&series).copied();
        value.unwrap_or_else(|| panic!("there is no {name} {labels:?}"))
    }

    /// Of all series that have these labels and maybe more.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let of = |(found, has): &Series| {
            let mut labels = labels.iter();
            found == name
                && labels.all(|(name, value)| has.get(*name).is_some_and(|found| found == value))
        };
        let found = self.series.iter().filter(|(series, _)| of(series));
        found.map(|(_, value)| value).sum()
    }

    /// Buckets go up, and the last one has as many as there are.
    fn check_histograms(&self) -> Result<(), String> {
        let mut buckets: BTreeMap<Series, Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.series {
            let Some(name) = name.strip_suffix("_bucket") else {
                continue;
            };
            let mut labels = labels.clone();
            let bound = labels.remove("le").ok_or("a bucket without a bound")?;
            let bound = bound.parse().map_err(|_| format!("no bound: {bound}"))?;
            let of = (name.to_owned(), labels);
            buckets.entry(of).or_default().push((bound, *value));
        }
        for ((name, labels), mut bounds) in buckets {
            bounds.sort_by(|one, other| one.0.total_cmp(&other.0));
            let up = bounds.windows(2).all(|two| two[0].1 <= two[1].1);
            let (last, all) = bounds[bounds.len() - 1];
            let count = self.series.get(&(format!("{name}_count"), labels));
            if !up || last != f64::INFINITY || count != Some(&all) {
                return Err(format!("{name} is no histogram: {bounds:?} {count:?}"));
            }
        }
        Ok(())
    }
}

fn belongs(name: &str, family: &Family) -> bool {
    let suffixes: &[&str] = match family.kind.as_str() {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => &["_sum", "_count", "_bucket"],
        _ => &[],
    };
    let rest = name.strip_prefix(&*family.name);
    rest.is_some_and(|suffix| suffixes.contains(&suffix))
}

fn sample(line: &str) -> Result<(Series, f64), String> {
    let wrong = || format!("no sample: {line:?}");
    let end = line.find(['{', ' ']).ok_or_else(wrong)?;
    let (name, rest) = line.split_at(end);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest).ok_or_else(wrong)?,
        None => (BTreeMap::new(), rest),
    };
    let value = value.strip_prefix(' ').ok_or_else(wrong)?;
    let value = value.parse().map_err(|_| wrong())?;
    if !is_name(name) {
        return Err(wrong());
    }
    Ok(((name.to_owned(), labels), value))
}

/// Up to the closing brace, and what is behind it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        let (name, behind) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = behind.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    one @ ('\\' | '"') => value.push(one),
                    _ => return None,
                },
                (_, one) => value.push(one),
            }
        };
        if !is_name(name) || labels.insert(name.to_owned(), value).is_some() {
            return None;
        }
        rest = &behind[end + 1..];
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Some((labels, rest.strip_prefix('}')?)),
        }
    }
}

fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let mut bytes = name.bytes();
    bytes.next().is_some_and(letter) && bytes.all(|byte| letter(byte) || byte.is_ascii_digit())
}
