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

-- Numbers are given out in the order of commits, and come here from several instances in any order. A number that has been
-- passed by a larger one stands in line already, without its person: nobody who comes now is told a place that is too small.
local function nobody(number) return '#' .. written(number) end

-- More missing numbers than can be on their way at once are no sign of that. The comparison with the journal finds out.
local MISSING_MAX = 3000

-- Lets the numbers between two others stand in line without their people, but for those that have left already; what is
-- added to the line's sum.
local function expect(waiting, left, above, below)
  local missing, sum = {}, 0
  if below - above - 1 > MISSING_MAX then return 0 end
  for number = above + 1, below - 1 do
    if not redis.call('ZSCORE', left, written(number)) then
      missing[#missing + 1] = written(number)
      missing[#missing + 1] = nobody(number)
      sum = sum + mark(number)
    end
  end
  if #missing > 0 then redis.call('ZADD', waiting, unpack(missing)) end
  return sum
end

