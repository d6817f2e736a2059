-- SPDX-License-Identifier: PostgreSQL
--
-- wrk: GET of random keys; environment: TARGET, N.
local n = tonumber(os.getenv("N"))
local path = ({
	kvlsm = "/kv/read/user:%06d",
	heap = "/heap/read?key=eq.user:%06d",
	floor = "/floor?_=%06d",
})[os.getenv("TARGET")]

function init()
	math.randomseed(os.time())
end

function request()
	return wrk.format("GET", path:format(math.random(0, n - 1)))
end

function done(summary)
	print("refused " .. summary.errors.status)
end
