-- Stands before every other script: the generation of the line that a server has, or nil where it has none to be trusted.
-- A line is bound to the run of the server that it was built on. A server that was started again from an old snapshot, or
-- that has taken another's place, has another run: its line is one of the past, and counts as none.
local function generation_of(key, run)
  local generation, built_on = string.match(redis.call('GET', key) or '', '^(%d+) (%w*)$')
  if built_on == run then return generation end
end

local function milliseconds()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- What a number adds to the line's sum, by which index and journal are compared: as in store/rebuild.rs.
local function mark(number) return math.abs(number) % 1000003 end

-- Numbers are whole and up to 2^53, negative ones too. Concatenating such a number would round it.
local function written(number) return string.format('%.0f', number) end

