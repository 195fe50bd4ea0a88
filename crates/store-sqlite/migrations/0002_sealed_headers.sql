-- Headers of targets (kind 9) may be credentials. They are sealed from now on; what the audit log and deleted targets hold of
-- them in the clear goes. Those in force are sealed when the store is opened, which takes the keys.

UPDATE audit SET before = json_remove(before, '$.target.headers'), after = json_remove(after, '$.target.headers')
WHERE kind = 9;
UPDATE resources SET body = json_remove(body, '$.target.headers') WHERE kind = 9 AND deleted = 1;
