//! Which free seats are best side by side. Pure.
//!
//! A block is seats of one grade, section and row with consecutive numbers. Of two free blocks the better is
//!
//! 1. the one that strands fewer seats. A seat is stranded when it was free with a free neighbour before, and has none left:
//!    hardly anybody wants it alone. A block has two ends, so it strands none, one or two.
//! 2. the one with the smaller sum of preferences. Preferences put any seat of a row before all behind it, and within a row
//!    the middle first.
//! 3. the one that comes first in the hall: the same question has the same answer.
//!
//! So a free block that strands nothing is always chosen before one that does, however far behind it is.

use std::ops::Range;

/// A seat of a grade, as it is compared. `place` is equal for seats of one section and row, and for no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    /// Which of the hall's seats this is.
    pub index: usize,
    /// The section and the row.
    pub place: usize,
    pub number: i32,
    /// Lower is better.
    pub preference: i32,
}

/// The seats of one grade in the order of the hall.
#[derive(Debug)]
pub(super) struct Grade {
    spots: Vec<Spot>,
    /// Where the seats end that are side by side with each.
    ends: Vec<usize>,
}

/// The blocks of this many seats that a grade has, best first, whether free or not: the first seat of each.
#[derive(Debug)]
pub(super) struct Order {
    count: usize,
    starts: Vec<usize>,
}

impl Order {
    /// Whether there is no such block, if all seats are free.
    pub(super) const fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }
}

impl Grade {
    /// A grade of these seats, in the order of the hall.
    pub(super) fn new(spots: Vec<Spot>) -> Self {
        let mut ends: Vec<usize> = (1..=spots.len()).collect();
        for (at, pair) in spots.windows(2).enumerate().rev() {
            if let [left, right] = pair
                && left.place == right.place
                && left.number.checked_add(1) == Some(right.number)
            {
                ends[at] = ends[at + 1];
            }
        }
        Self { spots, ends }
    }

    /// The seats, in the order of the hall.
    pub(super) fn spots(&self) -> &[Spot] {
        &self.spots
    }

    /// Where in [`Grade::spots`] one of the hall's seats stands.
    pub(super) fn position(&self, index: usize) -> Option<usize> {
        self.spots.binary_search_by_key(&index, |spot| spot.index).ok()
    }

    /// The best free blocks of an order, at most `most` of them, best first; no two share a seat. `free` tells of each of
    /// [`Grade::spots`] whether it is.
    pub(super) fn best(&self, order: &Order, most: usize, free: &[bool]) -> Vec<Range<usize>> {
        let mut worse = [Vec::new(), Vec::new()];
        let mut chosen = Chosen { given: vec![false; free.len()], blocks: Vec::new(), most };
        for start in order.starts.iter().copied() {
            let block = start..start + order.count;
            if !free[block.clone()].iter().all(|free| *free) {
                continue;
            }
            match self.stranded(&block, free) {
                0 => chosen.take(block),
                strands => worse[strands - 1].push(block),
            }
            if chosen.is_full() {
                break;
            }
        }
        worse.into_iter().flatten().for_each(|block| chosen.take(block));
        chosen.blocks
    }

    /// How many seats a block would strand.
    fn stranded(&self, block: &Range<usize>, free: &[bool]) -> usize {
        let beside = |left: usize, right: usize| right < self.ends[left];
        let is_free = |at: Option<usize>, next: usize| {
            at.filter(|at| *at < free.len() && free[*at])
                .filter(|at| beside((*at).min(next), (*at).max(next)))
        };
        let before = is_free(block.start.checked_sub(1), block.start)
            .is_some_and(|at| is_free(at.checked_sub(1), at).is_none());
        let after = is_free(Some(block.end), block.end - 1)
            .is_some_and(|at| is_free(Some(at + 1), at).is_none());
        usize::from(before) + usize::from(after)
    }

    /// The blocks of `count` seats. To be kept: they are sorted here, and that takes long for a large hall.
    pub(super) fn order(&self, count: usize) -> Order {
        if count == 0 {
            return Order { count, starts: Vec::new() };
        }
        let sum = |seats: &[Spot]| seats.iter().map(|seat| i64::from(seat.preference)).sum();
        let mut blocks: Vec<(i64, usize)> = self
            .spots
            .windows(count)
            .enumerate()
            .filter(|(start, _)| start + count <= self.ends[*start])
            .map(|(start, seats)| (sum(seats), start))
            .collect();
        blocks.sort_unstable();
        Order { count, starts: blocks.into_iter().map(|(_, start)| start).collect() }
    }
}

/// Blocks that share no seat.
struct Chosen {
    given: Vec<bool>,
    blocks: Vec<Range<usize>>,
    most: usize,
}

impl Chosen {
    fn is_full(&self) -> bool {
        self.blocks.len() >= self.most
    }

    fn take(&mut self, block: Range<usize>) {
        if !self.is_full() && !self.given[block.clone()].contains(&true) {
            self.given[block.clone()].fill(true);
            self.blocks.push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rows of this many seats each, with the preferences that the catalogue gives; some seats left out, as aisles.
    fn hall(rows: &[i32], aisles: &[(usize, i32)]) -> Grade {
        let mut spots = Vec::new();
        for (place, width) in rows.iter().enumerate() {
            for number in 1..=*width {
                if !aisles.contains(&(place, number)) {
                    let row = i32::try_from(place).unwrap();
                    let preference = row * 1_000 + (2 * number - (width + 1)).abs();
                    spots.push(Spot { index: spots.len() * 3, place, number, preference });
                }
            }
        }
        Grade::new(spots)
    }

    /// What is chosen, as rows and numbers.
    fn chosen(
        grade: &Grade,
        count: usize,
        most: usize,
        taken: &[(usize, i32)],
    ) -> Vec<Vec<(usize, i32)>> {
        let name = |spot: &Spot| (spot.place, spot.number);
        let free: Vec<bool> = grade.spots.iter().map(|spot| !taken.contains(&name(spot))).collect();
        let blocks = grade.best(&grade.order(count), most, &free);
        blocks.into_iter().map(|block| grade.spots[block].iter().map(name).collect()).collect()
    }

    #[test]
    fn the_middle_of_the_front_comes_first() {
        let grade = hall(&[10, 10], &[]);
        assert_eq!(chosen(&grade, 2, 1, &[]), [[(0, 5), (0, 6)]]);
        let front: Vec<(usize, i32)> = (1..=10).map(|number| (0, number)).collect();
        assert_eq!(chosen(&grade, 2, 1, &front), [[(1, 5), (1, 6)]]);
        assert!(chosen(&grade, 11, 1, &[]).is_empty());
        assert!(chosen(&grade, 0, 9, &[]).is_empty());
        assert_eq!([10, 11, 0].map(|count| grade.order(count).is_empty()), [false, true, true]);
    }

    #[test]
    fn nobody_is_left_alone_where_there_is_another_choice() {
        // The middle of five would leave one on each side.
        assert_eq!(chosen(&hall(&[5], &[]), 3, 1, &[]), [[(0, 1), (0, 2), (0, 3)]]);
        // In front, one would stay alone; behind, nobody does.
        assert_eq!(chosen(&hall(&[3, 4], &[]), 2, 1, &[]), [[(1, 1), (1, 2)]]);
        // There is no other choice.
        assert_eq!(chosen(&hall(&[3], &[]), 2, 1, &[]), [[(0, 1), (0, 2)]]);
        // A person who sits alone already is no reason.
        assert_eq!(chosen(&hall(&[6], &[]), 1, 1, &[(0, 2), (0, 4)]), [[(0, 3)]]);
    }

    #[test]
    fn an_aisle_and_the_next_row_are_no_neighbours() {
        let grade = hall(&[4, 4], &[(0, 3)]);
        assert_eq!(chosen(&grade, 2, 9, &[]).first(), Some(&vec![(0, 1), (0, 2)]));
        assert_eq!(chosen(&grade, 3, 9, &[]), [[(1, 1), (1, 2), (1, 3)]]);
    }

    #[test]
    fn several_blocks_share_no_seat_and_come_best_first() {
        let grade = hall(&[4, 2], &[]);
        let blocks = chosen(&grade, 2, 9, &[]);
        assert_eq!(blocks, [[(0, 1), (0, 2)], [(0, 3), (0, 4)], [(1, 1), (1, 2)]]);
        assert_eq!(chosen(&grade, 2, 2, &[]), blocks[..2]);
    }

    /// Every free block of a hall with its score, found by looking at everything.
    fn all(grade: &Grade, count: usize, free: &[bool]) -> Vec<(usize, i64, usize)> {
        let spots = grade.spots();
        let beside = |left: usize, right: usize| {
            spots[left].place == spots[right].place && spots[left].number + 1 == spots[right].number
        };
        // Free neighbours of a seat, those in the block left out.
        let company = |at: usize, block: &Range<usize>| {
            let neighbours = [
                at.checked_sub(1).filter(|left| beside(*left, at)),
                Some(at + 1).filter(|right| *right < spots.len() && beside(at, *right)),
            ];
            neighbours.into_iter().flatten().filter(|n| free[*n] && !block.contains(n)).count()
        };
        let mut found = Vec::new();
        for start in 0..(spots.len() + 1).saturating_sub(count) {
            let block = start..start + count;
            if !free[block.clone()].iter().all(|free| *free)
                || !(start + 1..block.end).all(|at| beside(at - 1, at))
            {
                continue;
            }
            let stranded = (0..spots.len()).filter(|at| free[*at] && !block.contains(at));
            let stranded =
                stranded.filter(|at| company(*at, &(0..0)) > 0 && company(*at, &block) == 0);
            let sum = spots[block.clone()].iter().map(|spot| i64::from(spot.preference)).sum();
            found.push((stranded.count(), sum, start));
        }
        found.sort_unstable();
        found
    }

    fn any_hall() -> impl Strategy<Value = (Grade, Vec<bool>)> {
        let rows = prop::collection::vec(1_i32..9, 1..5);
        let aisles = prop::collection::vec((0_usize..5, 1_i32..9), 0..4);
        (rows, aisles).prop_flat_map(|(rows, aisles)| {
            let seats = hall(&rows, &aisles).spots().len();
            let free = prop::collection::vec(prop::bool::weighted(0.7), seats);
            free.prop_map(move |free| (hall(&rows, &aisles), free))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn the_best_of_all_blocks_is_chosen((grade, free) in any_hall(), count in 1_usize..6, most in 1_usize..6) {
            let blocks = grade.best(&grade.order(count), most, &free);
            let all = all(&grade, count, &free);
            prop_assert_eq!(blocks.first().map(|it| it.start), all.first().map(|it| it.2));
            // Each next one is the best that shares no seat with those before.
            let mut wanted: Vec<Range<usize>> = Vec::new();
            for (_, _, start) in all {
                let block = start..start + count;
                if wanted.len() < most && wanted.iter().all(|it| it.end <= block.start || block.end <= it.start) {
                    wanted.push(block);
                }
            }
            prop_assert_eq!(blocks, wanted);
        }
    }

    #[test]
    fn a_seat_is_found_by_its_place_in_the_hall() {
        let grade = hall(&[3], &[]);
        assert_eq!((grade.position(6), grade.position(7)), (Some(2), None));
    }
}
