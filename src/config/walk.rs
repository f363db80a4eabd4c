//! Walks over a YAML text without keeping anything: once to bound what its aliases stand for, and again, if there is
//! something to complain about, to find the line.
//!
//! The YAML parser tells positions only in its errors. So a place is found by walking to it and failing there.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};
use serde_yaml::Location;

use super::complaint::Complaint;

/// The most that a text may come to once its aliases are replaced by what they stand for, with eight bytes for each value.
///
/// The parser itself bounds how often it follows an alias (100 times the number of values) and how deep values nest (128),
/// which stops aliases of aliases of aliases. It does not stop one long list with thousands of aliases to it: the square
/// of a megabyte. This does.
const EXPANDED: u64 = 16 << 20;

/// The most items of one list or map: names are compared pair by pair, which takes minutes for a megabyte of them.
const ITEMS: usize = 4096;

/// One step of the way from the top of the file to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To the value of a key.
    Key(String),
    /// To an item of a list, counted from zero.
    Item(usize),
}

/// Check that the text is YAML and, aliases replaced, not beyond all measure.
pub(super) fn check(yaml: &str) -> Result<(), serde_yaml::Error> {
    crate::yaml::refuse_depth::<serde_yaml::Error>(yaml)?;
    walk(yaml, None)
}

/// Where a value begins. `None` where the way leads nowhere.
pub(super) fn locate(yaml: &str, way: &[Step]) -> Option<Location> {
    walk(yaml, Some(way)).err().and_then(|error| error.location())
}

fn walk(yaml: &str, way: Option<&[Step]>) -> Result<(), serde_yaml::Error> {
    let left = Cell::new(EXPANDED);
    Walker { left: &left, way }.deserialize(serde_yaml::Deserializer::from_str(yaml))
}

#[derive(Clone, Copy)]
struct Walker<'a> {
    /// What is left of [`EXPANDED`].
    left: &'a Cell<u64>,
    /// The rest of the way to the value that is looked for, if that is in here.
    way: Option<&'a [Step]>,
}

impl Walker<'_> {
    /// Look at a value of so many bytes: fail if it is the one, or one too many.
    fn visit<E: de::Error>(self, bytes: usize) -> Result<(), E> {
        if self.way.is_some_and(<[_]>::is_empty) {
            return Err(E::custom("here"));
        }
        match self.left.get().checked_sub(bytes as u64 + 8) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                Err(Complaint::new(format!("the file is too large once its aliases are replaced ({EXPANDED} bytes)"))
                    .help("write out what the aliases (`*name`) stand for, or use fewer of them")
                    .into_serde())
            }
        }
    }

    fn onward(self, taken: impl Fn(&Step) -> bool) -> Self {
        let way = self.way.and_then(<[_]>::split_first).filter(|(step, _)| taken(step)).map(|(_, rest)| rest);
        Self { way, ..self }
    }
}

impl<'de> DeserializeSeed<'de> for Walker<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walker<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.visit(text.len())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.visit(0)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.visit(0)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.visit(0)
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<(), E> {
        self.visit(0)
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<(), E> {
        self.visit(0)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.visit(0)
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.visit(0)
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        self.visit(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.visit(0)?;
        let mut index = 0;
        while list.next_element_seed(self.onward(|step| *step == Step::Item(index)))?.is_some() {
            index += 1;
            check_items(index)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.visit(0)?;
        let mut items = 0;
        while let Some(key) = map.next_key::<String>()? {
            items += 1;
            check_items(items)?;
            self.onward(|_| false).visit(key.len())?;
            map.next_value_seed(self.onward(|step| matches!(step, Step::Key(wanted) if *wanted == key)))?;
        }
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(Complaint::new("a tag (`!name`) has no meaning here")
            .help("put the text in quotes if it begins with `!`; `!reference` is understood by GitLab only")
            .into_serde())
    }
}

fn check_items<E: de::Error>(items: usize) -> Result<(), E> {
    if items > ITEMS {
        let complaint = Complaint::new(format!("a list or map with more than {ITEMS} items"));
        return Err(complaint.help("is it a configuration of larder?").into_serde());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_wherever_it_is() {
        let yaml = "a: 1\nlist:\n  - x\n  - { b: [p, 'é', q] }\n  - c:\n      d: 2.5\n";
        let find = |way: &[Step]| locate(yaml, way).map(|at| (at.line(), at.column()));
        let (key, item) = (|key: &str| Step::Key(key.to_owned()), Step::Item);
        assert_eq!(find(&[]), Some((1, 1)));
        assert_eq!(find(&[key("a")]), Some((1, 4)));
        assert_eq!(find(&[key("list"), item(1)]), Some((4, 5)));
        assert_eq!(find(&[key("list"), item(1), key("b"), item(2)]), Some((4, 19)));
        assert_eq!(find(&[key("list"), item(2), key("c"), key("d")]), Some((6, 10)));
        assert_eq!(find(&[key("list"), item(3)]), None);
    }

    #[test]
    fn aliases_of_aliases_are_bounded() {
        let level = |level: usize| format!("a{level}: &a{level} [{}]\n", format!("*a{},", level - 1).repeat(10));
        let yaml: String = std::iter::once("a0: &a0 [x]\n".to_owned()).chain((1..20).map(level)).collect();
        assert!(check(&yaml).is_err());
        assert!(check("a: &a [*a]").is_err());
    }

    #[test]
    fn many_aliases_of_one_long_list_are_bounded() {
        let yaml = format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(ITEMS), "*a,".repeat(ITEMS));
        assert!(check(&yaml).unwrap_err().to_string().contains("too large"));
    }

    #[test]
    fn a_list_or_map_is_bounded() {
        for item in ["- a: b\n", "- x\n"] {
            assert!(check(&item.repeat(ITEMS)).is_ok());
            assert!(check(&item.repeat(ITEMS + 1)).unwrap_err().to_string().contains("more than"));
        }
        let map = |items: usize| (0..items).map(|index| format!("k{index}:\n")).collect::<Vec<_>>().concat();
        assert!(check(&map(ITEMS)).is_ok());
        assert!(check(&map(ITEMS + 1)).is_err());
    }

    #[test]
    fn aliases_in_reason_are_allowed() {
        check("a: &a [x, y]\nb: *a\nc: [*a, *a]\n").unwrap();
    }
}
