//! Tables for reading.
//!
//! On a terminal a table is cut to its width; in a pipe or a job log it is whole, so that nothing is lost to `grep`.

use anstyle::Style;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, TableStyle};

use super::palette::{Palette, STRONG};
use super::printable::printable;

/// Where the painted column begins and ends in a line. Both take no room, and [`printable`] lets neither through.
const MARKS: [char; 2] = ['\u{2061}', '\u{2062}'];

/// A column with its title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Text, cut where the terminal is narrow.
    Text(&'static str),
    /// Text that is never cut.
    Whole(&'static str),
    /// A number with a unit, at the right edge, never cut.
    Number(&'static str),
}

/// One row: its cells, and which of them has which style.
pub(crate) struct Line {
    pub(crate) cells: Vec<String>,
    pub(crate) painted: usize,
    pub(crate) style: Style,
}

impl Line {
    fn row(&self) -> Row {
        let cells = self.cells.iter().enumerate().map(|(index, text)| {
            let text = printable(text);
            Cell::new(if index == self.painted { format!("{}{text}{}", MARKS[0], MARKS[1]) } else { text.into_owned() })
        });
        Row::from(cells.collect::<Vec<_>>())
    }
}

/// A table without rules and an empty line below it; nothing where it has no lines.
pub(crate) fn render(columns: &[Column], lines: &[Line], width: Option<u16>, palette: Palette) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_truncation_indicator("…");
    match width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    let titles = columns.iter().map(|(Column::Text(title) | Column::Whole(title) | Column::Number(title))| *title);
    table.set_header(one_line(Row::from(titles.collect::<Vec<_>>())));
    table.add_rows(lines.iter().map(|line| one_line(line.row())));
    for (index, column) in columns.iter().enumerate() {
        let Some(layout) = table.column_mut(index) else { continue };
        layout.set_padding((0, if index + 1 == columns.len() { 0 } else { 2 }));
        if !matches!(column, Column::Text(_)) {
            layout.set_constraint(ColumnConstraint::ContentWidth);
        }
        if matches!(column, Column::Number(_)) {
            layout.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut shown = table.lines();
    let titles = shown.next().unwrap_or_default();
    let titles = palette.paint(STRONG, titles.trim_end());
    let rows = shown.zip(lines).map(|(text, line)| paint_marked(text.trim_end(), line.style, palette));
    std::iter::once(titles).chain(rows).map(|line| line + "\n").collect::<String>() + "\n"
}

fn one_line(mut row: Row) -> Row {
    row.max_height(1);
    row
}

/// Paint what lies between the marks, and take the marks away.
fn paint_marked(line: &str, style: Style, palette: Palette) -> String {
    let parts = line.split_once(MARKS[0]).and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?)));
    match parts {
        Some((before, (marked, after))) => format!("{before}{}{after}", palette.paint(style, marked)),
        None => line.replace(MARKS, ""),
    }
}
