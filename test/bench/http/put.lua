-- SPDX-License-Identifier: PostgreSQL
--
-- wrk: POST of random keys, a hundred bytes each; environment: TARGET, N.
local n = tonumber(os.getenv("N"))
local path = ({
	kvlsm = "/kv/put",
	heap = "/heap/put",
	floor = "/floor/put",
})[os.getenv("TARGET")]
local body = '{"key":"user:%06d","value":{"n":%d,"text":"' ..
	string.rep("0123456789", 8) .. '"}}'

function init()
	math.randomseed(os.time())
	wrk.headers["Content-Type"] = "application/json"
end

function request()
	return wrk.format("POST", path, nil,
		body:format(math.random(0, n - 1), math.random(1, 1000000)))
end

function done(summary)
	print("refused " .. summary.errors.status)
end
