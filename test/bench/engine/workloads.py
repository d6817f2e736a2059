# SPDX-License-Identifier: PostgreSQL
#
# The workloads of the engine's benchmark by name, what is asked of each, and
# what was measured elsewhere.

# Rows: (name in the table, operation, what one op is).
ROWS = [
    ("fillrandom", "fillrandom", "row"),
    ("fillrandom, settled", "fillrandom+settle", "row"),
    ("fillseq", "fillseq", "row"),
    ("fillseq, settled", "fillseq+settle", "row"),
    ("fillbatch 1000", "fillbatch", "row"),
    ("fillbatch 1000, settled", "fillbatch+settle", "row"),
    ("fillsync", "fillsync", "row"),
    ("overwrite", "overwrite", "row"),
    ("deleterandom", "deleterandom", "row"),
    ("readrandom, fresh after fill", "fresh", "get"),
    ("compact", "compact", "row"),
    ("readrandom, cache cold", "readcold", "get"),
    ("readrandom, warm", "readwarm", "get"),
    ("readmissing", "readmissing", "get"),
    ("multiget 100", "multiget", "key"),
    ("seek + 10 rows", "seek10", "seek"),
    ("seek + 100 rows", "seek100", "seek"),
    ("readseq", "readseq", "row"),
    ("readreverse", "readreverse", "row"),
    ("readrandom, 2 threads", "readrandom_2t", "get"),
    ("readrandom, writer 20K/s", "readwhilewriting", "get"),
    ("readrandom, writer free", "readwhilewriting_free", "get"),
]
# The processor decides these, so that asserts in a library show.
PUTS = {"fillrandom", "fillrandom+settle", "fillseq", "fillseq+settle",
        "fillbatch", "fillbatch+settle", "overwrite", "deleterandom"}
ASSERTS_COST = 1.5
ONE_THREAD = {"readcold", "readwarm", "readmissing", "multiget", "seek10",
              "seek100", "readseq", "readreverse"}

ROCKSDB = ("rocksdb", "rocksdb:tuned")
LSM = ROCKSDB + ("leveldb",)
ALL = LSM + ("lmdb",)
# Compared with, but no peer for the best: without a log it promises less.
CEILINGS = {"rocksdb:nowal"}

# operation: (peers whose best counts, floor, goal); None: none is set
GOALS = {
    "fillrandom+settle": [(LSM, 2.0, 4.0), (("rocksdb:walbuf",), None, 2.0)],
    "fillbatch+settle": [(LSM, 2.0, 2.5)],
    "fillseq+settle": [(LSM, 2.0, 3.0)],
    "fillsync": [(ALL, 1.0, None), (LSM, None, 1.2)],
    "overwrite": [(LSM, 2.0, 3.5)],
    "deleterandom": [(LSM, 2.0, 3.0)],
    "fresh": [(LSM, 2.0, 4.0)],
    "compact": [(ROCKSDB, 2.0, 2.5)],
    "readwarm": [(LSM, 2.0, 3.0), (("lmdb",), None, 1.2)],
    "readmissing": [(ALL, 1.2, 2.0)],
    "multiget": [(("lmdb",), 1.0, 2.5), (ROCKSDB, None, 5.0)],
    "seek10": [(("leveldb",), 1.5, 2.5), (("lmdb",), None, 1.5)],
    "seek100": [(("leveldb",), 1.5, 3.0), (("lmdb",), None, 1.9)],
    "readseq": [(("leveldb",), 2.5, 3.5)],
    "readreverse": [(("leveldb",), 2.5, 3.5)],
    "readrandom_2t": [(ROCKSDB, 2.0, 3.0), (("lmdb",), None, 1.1)],
    "readwhilewriting": [(ROCKSDB, 2.0, 3.0), (("lmdb",), None, 1.0)],
}

# Rates that the goals name: (name, operation, goal a second).
RATES = [
    ("fillrandom, settled (rows/s)", "fillrandom+settle", 600e3),
    ("fillbatch 1000, settled (rows/s)", "fillbatch+settle", 1e6),
    ("fillseq, settled (rows/s)", "fillseq+settle", 1.5e6),
    ("readrandom, warm (gets/s)", "readwarm", 600e3),
    ("readmissing (gets/s)", "readmissing", 4e6),
    ("multiget 100 (keys/s)", "multiget", 1.2e6),
    ("readseq (rows/s; or 3.5 times LevelDB)", "readseq", 20e6),
]

COLOURS = {"rocksdb": "#c0504d", "rocksdb:tuned": "#8c2d2a",
           "rocksdb:walbuf": "#e6a5a3", "rocksdb:nowal": "#f2d0cf",
           "leveldb": "#4f81bd", "lmdb": "#9bbb59", "lmdb:writemap": "#6b8a3a"}

# Medians of 5 million rows measured elsewhere with release builds, to be read
# beside the table, never to be divided by: RocksDB 11.9, tidesdb 9.3.
ELSEWHERE = {
    "fillrandom": ("184K", "167K"), "fillrandom+settle": ("144K", "116K"),
    "fillseq": ("353K", "372K"), "fillbatch": ("351K", "262K"),
    "fillbatch+settle": ("264K", "215K"), "fillsync": ("4.4K", "7.6K"),
    "overwrite": ("194K", "161K"), "deleterandom": ("205K", "130K"),
    "fresh": ("70K", "39K"), "compact": ("1.02M", "2.67M"),
    "readcold": ("156K", "41K"), "readwarm": ("201K", "40K"),
    "readmissing": ("1.81M", "2.00M"), "multiget": ("234K", "41K"),
    "seek10": ("135K", "14K"), "seek100": ("40K", "15K"),
    "readseq": ("5.00M", "13.5M"), "readreverse": ("3.22M", "9.23M"),
    "readrandom_2t": ("385K", "80K"), "readwhilewriting": ("156K", "39K"),
    "readwhilewriting_free": ("104K", "36K"),
}
ELSEWHERE_MORE = [
    ("fillrandom, log buffered in the process (2 million rows)", "285K", "–"),
    ("fillrandom without a log (2 million rows)", "327K", "–"),
    ("write amplification of fillrandom", "2.57", "3.35"),
    ("bytes a row after compact", "78", "79"),
]
