-- Headers of targets (kind 9) may be credentials. They are sealed from now on; what the audit log and deleted targets hold of
-- them in the clear goes. Those in force are sealed when the store is opened, which takes the keys.

UPDATE audit SET before = (before::jsonb #- '{target,headers}')::text, after = (after::jsonb #- '{target,headers}')::text
WHERE kind = 9;
UPDATE resources SET body = (body::jsonb #- '{target,headers}')::text WHERE kind = 9 AND deleted;
