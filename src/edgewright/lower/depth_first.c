/* Depth-first search for offsets below a capacity: buffers of known size and lifetime, none above another that lives at the same time.
 *
 * Lifetimes are ranges of sections (maximal sets of buffers that live together). Buffers are placed in the order of their offsets, each at
 * the lowest place that its placed neighbours leave; every solution, pushed down, is reached so. Cut off: what falls behind that order, a
 * buffer above the end that another could reach first, alternatives to a buffer with nothing left above it, and states in which some section
 * cannot hold its unplaced buffers above its floor. Where no unplaced buffer crosses from one section to the next, the two sides are searched
 * one after the other. The rules are those of Moffitt, "MiniMalloc" (ASPLOS 2024). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FOUND = 1, NONE = 0, LIMIT = -1, MEMORY = -2 };

typedef struct {
    int buffers, sections;
    const int64_t *size;         /* bytes or any unit, per buffer */
    const int32_t *first, *stop; /* range of sections, per buffer */
    const int64_t *keys;         /* three per buffer: the order among equal offsets, largest first */
    int load_key;                /* which of the three is the most that is left in a section of the buffer */
    int32_t *rank;               /* the order that the keys give within a part */
    int64_t capacity;
    int64_t nodes; /* what is left of the limit */
    int64_t *lowest, *floor, *left, *reach, *load;
    int64_t *offset, *answer; /* -1: not placed */
    int32_t *crossing;        /* unplaced buffers that live in section s and in s + 1 */
    int32_t *spare;
    int64_t *saved;
} Search;

static int by_rank(const Search *search, int a, int b) {
    if (search->lowest[a] != search->lowest[b]) return search->lowest[a] < search->lowest[b];
    return search->rank[a] < search->rank[b];
}

static int before(const Search *search, int a, int b) {
    const int64_t *left = search->keys + 3 * (size_t)a, *right = search->keys + 3 * (size_t)b;
    for (int k = 0; k < 3; k++) {
        const int64_t x = k == search->load_key ? search->load[a] : left[k], y = k == search->load_key ? search->load[b] : right[k];
        if (x != y) return x > y;
    }
    return a < b;
}

/* Sort the buffers of a part by their keys, and number them. */
static void order(Search *search, int32_t *part, int count) {
    for (int i = 0; i < count; i++) {
        const int b = part[i];
        search->load[b] = 0;
        for (int s = search->first[b]; s < search->stop[b]; s++) {
            if (search->left[s] > search->load[b]) search->load[b] = search->left[s];
        }
        int at = i;
        for (; at > 0 && before(search, b, part[at - 1]); at--) part[at] = part[at - 1];
        part[at] = b;
    }
    for (int i = 0; i < count; i++) search->rank[part[i]] = i;
}

/* Whether every section from first to stop can hold its unplaced buffers: none lies below `from`, or below the lowest place of any. */
static int holds(Search *search, const int32_t *list, int count, int first, int stop, int64_t from) {
    int64_t *reach = search->reach;
    for (int s = first; s < stop; s++) reach[s] = INT64_MAX;
    for (int i = 0; i < count; i++) {
        const int b = list[i];
        if (search->offset[b] >= 0) continue;
        const int64_t lowest = search->lowest[b];
        for (int s = search->first[b]; s < search->stop[b]; s++) reach[s] = reach[s] < lowest ? reach[s] : lowest;
    }
    for (int s = first; s < stop; s++) {
        if (reach[s] == INT64_MAX) continue;
        int64_t floor = search->floor[s] > reach[s] ? search->floor[s] : reach[s];
        floor = floor > from ? floor : from;
        if (floor + search->left[s] > search->capacity) return 0;
    }
    return 1;
}

static int descend(Search *search, const int32_t *all, int count, int first, int stop, int64_t from, int from_rank, int depth);

/* The parts into which the sections from first to stop fall, one after the other. */
static int parts(Search *search, const int32_t *list, int count, int first, int stop, int64_t from, int rank, int split, int depth) {
    if (!split) return descend(search, list, count, first, stop, from, rank, depth);
    int32_t *part = search->spare + (size_t)depth * (size_t)search->buffers * 3 + search->buffers;
    for (int start = first; start < stop;) {
        int end = start + 1;
        while (end < stop && search->crossing[end - 1] > 0) end++;
        int held = 0;
        for (int i = 0; i < count; i++) {
            const int b = list[i];
            if (search->offset[b] < 0 && search->first[b] >= start && search->first[b] < end) part[held++] = b;
        }
        if (held > 0) {
            int32_t *ranks = part + search->buffers;
            for (int i = 0; i < count; i++) ranks[i] = search->rank[list[i]];
            order(search, part, held);
            const int result = descend(search, part, held, start, end, 0, -1, depth);
            for (int i = 0; i < count; i++) search->rank[list[i]] = ranks[i];
            if (result != FOUND) return result;
        }
        start = end;
    }
    return FOUND;
}

/* Place the unplaced of `all`, which live between sections first and stop, at `from` or above. */
static int descend(Search *search, const int32_t *all, int count, int first, int stop, int64_t from, int from_rank, int depth) {
    if (search->nodes-- <= 0) return LIMIT;
    int32_t *list = search->spare + (size_t)depth * (size_t)search->buffers * 3;
    int64_t *saved = search->saved + (size_t)depth * (size_t)(search->buffers + search->sections);
    int unplaced = 0;
    int64_t ceiling = INT64_MAX;
    for (int i = 0; i < count; i++) {
        const int b = all[i];
        if (search->offset[b] >= 0) continue;
        int at = unplaced++;
        for (; at > 0 && by_rank(search, b, list[at - 1]); at--) list[at] = list[at - 1];
        list[at] = b;
        const int64_t end = search->lowest[b] + search->size[b];
        ceiling = end < ceiling ? end : ceiling;
    }
    if (unplaced == 0) return FOUND;
    for (int i = 0; i < unplaced; i++) {
        const int b = list[i];
        const int64_t place = search->lowest[b], end = place + search->size[b];
        const int begin = search->first[b], finish = search->stop[b];
        if (place >= ceiling) break;
        if (place < from || (place == from && search->rank[b] < from_rank)) continue;
        search->offset[b] = search->answer[b] = place;
        int covered = 0, split = 0;
        for (int j = 0; j < unplaced; j++) {
            const int other = list[j];
            saved[j] = search->lowest[other];
            if (search->offset[other] >= 0 || search->first[other] >= finish || search->stop[other] <= begin) continue;
            covered = 1;
            if (search->lowest[other] < end) search->lowest[other] = end;
        }
        for (int s = begin; s < finish; s++) {
            saved[search->buffers + s] = search->floor[s];
            search->floor[s] = end;
            search->left[s] -= search->size[b];
        }
        int result = NONE;
        if (holds(search, list, unplaced, first, stop, place)) {
            for (int s = begin; s + 1 < finish; s++) split |= --search->crossing[s] == 0;
            result = parts(search, list, unplaced, first, stop, place, search->rank[b], split, depth + 1);
            for (int s = begin; s + 1 < finish; s++) search->crossing[s]++;
        }
        for (int s = begin; s < finish; s++) {
            search->floor[s] = saved[search->buffers + s];
            search->left[s] += search->size[b];
        }
        for (int j = 0; j < unplaced; j++) search->lowest[list[j]] = saved[j];
        search->offset[b] = -1;
        if (result != NONE) return result;
        if (!covered) break;
    }
    return NONE;
}

/* 1: answer[b] holds the offsets, all ends at or below capacity. 0: proved that there are none. -1: the limit was reached. -2: no memory. */
int depth_first(int32_t buffers, int32_t sections, const int64_t *size, const int32_t *first, const int32_t *stop, const int64_t *keys,
                int32_t load_key, int64_t capacity, int64_t nodes, int64_t *answer) {
    const size_t n = (size_t)buffers, m = (size_t)sections;
    Search search = {buffers, sections, size, first, stop, keys, load_key, 0, capacity, nodes, 0, 0, 0, 0, 0, 0, answer, 0, 0, 0};
    int64_t *wide = calloc(3 * n + 3 * m + (n + 2) * (n + m), sizeof *wide);
    int32_t *narrow = calloc(2 * n + m + (n + 2) * 3 * n, sizeof *narrow);
    int result = MEMORY;
    if (wide && narrow) {
        search.lowest = wide, search.offset = wide + n, search.load = wide + 2 * n;
        search.floor = wide + 3 * n, search.left = search.floor + m, search.reach = search.left + m, search.saved = search.reach + m;
        int32_t *all = narrow;
        search.rank = narrow + n, search.crossing = narrow + 2 * n, search.spare = search.crossing + m;
        for (int b = 0; b < buffers; b++) {
            all[b] = b, search.offset[b] = -1;
            for (int s = first[b]; s < stop[b]; s++) {
                search.left[s] += size[b];
                search.crossing[s] += s + 1 < stop[b];
            }
        }
        result = NONE;
        if (holds(&search, all, buffers, 0, sections, 0)) {
            result = parts(&search, all, buffers, 0, sections, 0, -1, 1, 0);
        }
    }
    free(wide);
    free(narrow);
    return result;
}
