//! `plan`, `list` and `verify`, for reading.
//!
//! On a terminal a table is cut to its width; in a pipe or a job log it is whole, so that nothing is lost to `grep`.

mod list;
mod plan;
mod verify;

use anstyle::Style;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, TableStyle};

use super::console::{Palette, STRONG, printable};

pub use list::list;
pub use plan::plan;
pub use verify::{CorruptBlobs, verify};

/// Where the painted column begins and ends in a line. Both take no room, and [`printable`] lets neither through.
const MARKS: [char; 2] = ['\u{2061}', '\u{2062}'];

/// How a column is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    /// Text, cut where the terminal is narrow.
    Text(&'static str),
    /// Text that is never cut.
    Whole(&'static str),
    /// A number with a unit, at the right edge, never cut.
    Number(&'static str),
}

/// A table without lines. One column of each row may have a style.
struct Grid {
    table: Table,
    columns: Vec<Column>,
    styles: Vec<Style>,
}

/// One row: its cells, and which of them has which style.
struct Line {
    cells: Vec<String>,
    painted: usize,
    style: Style,
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Self::Text(title) | Self::Whole(title) | Self::Number(title) => title,
        }
    }
}

impl Grid {
    fn new(columns: &[Column], width: Option<u16>) -> Self {
        let mut table = Table::new();
        table.load_style(TableStyle::new()).set_truncation_indicator("…");
        match width {
            Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        let mut titles = Row::from(columns.iter().map(|column| column.title()).collect::<Vec<_>>());
        titles.max_height(1);
        table.set_header(titles);
        Self { table, columns: columns.to_vec(), styles: Vec::new() }
    }

    fn add(&mut self, line: &Line) {
        let cells = line.cells.iter().enumerate().map(|(index, text)| {
            let text = printable(text);
            Cell::new(if index == line.painted { format!("{}{text}{}", MARKS[0], MARKS[1]) } else { text.into_owned() })
        });
        let mut row = Row::from(cells.collect::<Vec<_>>());
        row.max_height(1);
        self.table.add_row(row);
        self.styles.push(line.style);
    }

    fn render(mut self, palette: Palette) -> String {
        for (index, column) in self.columns.iter().enumerate() {
            let Some(layout) = self.table.column_mut(index) else { continue };
            layout.set_padding((0, if index + 1 == self.columns.len() { 0 } else { 2 }));
            match column {
                Column::Text(_) => {}
                Column::Whole(_) => {
                    layout.set_constraint(ColumnConstraint::ContentWidth);
                }
                Column::Number(_) => {
                    layout.set_constraint(ColumnConstraint::ContentWidth);
                    layout.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        let mut out = String::new();
        let mut styles = self.styles.into_iter();
        for (index, line) in self.table.lines().enumerate() {
            let line = line.trim_end();
            out.push_str(&if index == 0 {
                palette.paint(STRONG, line)
            } else {
                paint_marked(line, styles.next().unwrap_or_default(), palette)
            });
            out.push('\n');
        }
        out
    }
}

/// Paint what lies between the marks, and take the marks away.
fn paint_marked(line: &str, style: Style, palette: Palette) -> String {
    let parts = line.split_once(MARKS[0]).and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?)));
    match parts {
        Some((before, (marked, after))) => format!("{before}{}{after}", palette.paint(style, marked)),
        None => line.replace(MARKS, ""),
    }
}
