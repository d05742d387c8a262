//! The order of starting: everything after what it needs.

use std::collections::BTreeMap;

/// Indices in an order in which each comes after all it needs, as near to the given order as that allows; or a cycle.
pub(crate) fn order(needs: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut ordered = Vec::with_capacity(needs.len());
    let mut placed = vec![false; needs.len()];
    while ordered.len() < needs.len() {
        let ready = (0..needs.len()).find(|&index| !placed[index] && needs[index].iter().all(|&need| placed[need]));
        match ready {
            Some(index) => {
                placed[index] = true;
                ordered.push(index);
            }
            None => return Err(cycle(needs, &placed)),
        }
    }
    Ok(ordered)
}

/// Follows needs that cannot be met until one comes again.
fn cycle(needs: &[Vec<usize>], placed: &[bool]) -> Vec<usize> {
    let mut path = Vec::new();
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    let mut at = placed.iter().position(|placed| !placed).unwrap_or(0);
    while !seen.contains_key(&at) {
        seen.insert(at, path.len());
        path.push(at);
        at = needs[at].iter().copied().find(|&need| !placed[need]).unwrap_or(at);
    }
    path.split_off(seen[&at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_after_what_it_needs_and_else_as_given() {
        assert_eq!(order(&[vec![], vec![], vec![]]), Ok(vec![0, 1, 2]));
        assert_eq!(order(&[vec![2], vec![], vec![]]), Ok(vec![1, 2, 0]));
        assert_eq!(order(&[vec![1], vec![2], vec![]]), Ok(vec![2, 1, 0]));
    }

    #[test]
    fn a_cycle_is_named_without_what_leads_to_it() {
        assert_eq!(order(&[vec![0]]), Err(vec![0]));
        assert_eq!(order(&[vec![1], vec![2], vec![1]]), Err(vec![1, 2]));
    }
}
