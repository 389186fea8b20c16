//! Tables that can be read in a terminal and pasted into a document.

pub(crate) fn table(title: &str, head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<_> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut out = format!("\n{title}\n\n{}", line(&mut head.iter().copied()));
    out += &format!(
        "|{}|\n",
        widths
            .iter()
            .map(|width| "-".repeat(width + 2))
            .collect::<Vec<_>>()
            .join("|")
    );
    for row in rows {
        out += &line(&mut row.iter().map(String::as_str));
    }
    out
}

pub(crate) fn ms(us: u64) -> String {
    format!("{:.1}", us as f64 / 1e3)
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{}", bytes >> 20)
}
